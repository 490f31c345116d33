/* What <residual-playground> draws: the function a net computes on a canvas, loss curves, and bars on a log scale.
   Classic script: one name on globalThis.  needs: page, points */
(function () {
  "use strict";

  const { drawn, element } = globalThis.BookPage;
  const { GRID } = globalThis.PlaygroundPoints;
  const SPAN = 1.1; // the drawn square or interval reaches from -1.1 to 1.1

  const ink = (node, name) => getComputedStyle(node).getPropertyValue(name).trim();

  /* data: of the engine's makeData; values: what its predict gives on makeGrid. */
  function drawSurface(canvas, data, values, color) {
    const size = Math.round((canvas.clientWidth || 220) * Math.min(devicePixelRatio || 1, 2));
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const context = canvas.getContext("2d"), dark = ink(canvas, "--rn-ink") || "#000";
    const paper = ink(canvas, "--rn-paper") || "#fff", line = data.task === "regression";
    context.clearRect(0, 0, size, size);
    if (values && !line) context.drawImage(shade(values, dark), 0, 0, size, size);
    const key = [data.name, size, dark].join();
    if (drawnPoints.key !== key) drawnPoints = { key, picture: drawPoints(data, size, dark, paper) };
    context.drawImage(drawnPoints.picture, 0, 0);
    if (!values || !line) return;
    context.strokeStyle = ink(canvas, color) || dark;
    context.lineWidth = size / 90;
    context.beginPath();
    values.forEach((value, k) => context.lineTo(size * k / (values.length - 1), height(value, size)));
    context.stroke();
  }

  const height = (value, size) => size / 2 * (1 - Math.max(Math.min(value, 1.45), -1.45) / 1.54);

  /* The points do not change while the nets train: they are drawn once for both. */
  let drawnPoints = {};

  function drawPoints(data, size, dark, paper) {
    const made = element("canvas", { width: size, height: size }), context = made.getContext("2d");
    const unit = size / (2 * SPAN);
    context.strokeStyle = dark;
    context.lineWidth = size / 220;
    for (let p = 0; p < data.n; p++) {
      const x = (data.x[p] + SPAN) * unit, line = data.task === "regression";
      const y = line ? height(data.t[p], size) : (SPAN - data.x[data.n + p]) * unit;
      context.beginPath();
      context.arc(x, y, size / (line ? 220 : 110), 0, 7);
      context.fillStyle = line || data.t[p] ? dark : paper;
      context.fill();
      if (!line) context.stroke();
    }
    return made;
  }

  /* Probability of class 1 as the strength of the ink. */
  function shade(values, dark) {
    const small = element("canvas", { width: GRID, height: GRID }), context = small.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(GRID, GRID);
    for (let k = 0; k < values.length; k++) image.data[4 * k + 3] = 12 + 140 * values[k];
    context.putImageData(image, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = dark;
    context.fillRect(0, 0, GRID, GRID);
    return small;
  }

  /* ---- loss ------------------------------------------------------------------------------------- */

  const ROOM = { left: 44, right: 86, top: 26, bottom: 30 };
  const exponent = (power) => ({ 0: "1", 1: "10", "-1": "0.1" }[power] ??
    `10${[...String(power)].map((c) => ({ "-": "⁻" }[c] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("")}`);

  /* lines: [{name, color, dash, losses}], losses by step.  Both on one logarithmic axis. */
  function drawLosses(svg, lines, words) {
    const width = svg.clientWidth || 600, height = 210;
    const last = Math.max(20, ...lines.map((line) => line.losses.length - 1));
    const all = lines.flatMap((line) => line.losses.filter((v) => v > 0 && Number.isFinite(v)));
    const low = Math.floor(Math.log10(Math.min(0.1, ...extremes(all, Math.min)))), high = Math.ceil(Math.log10(Math.max(1, ...extremes(all, Math.max))));
    const x = (step) => ROOM.left + (width - ROOM.left - ROOM.right) * step / last;
    const y = (loss) => ROOM.top + (height - ROOM.top - ROOM.bottom) * (high - Math.log10(Math.max(loss, 10 ** low))) / (high - low);
    const parts = [drawn("text", { x: 2, y: 11 }, words.loss)];
    const every = Math.ceil((high - low) / 6);
    for (let power = high; power >= low; power -= every) {
      parts.push(drawn("line", { x1: ROOM.left, x2: x(last), y1: y(10 ** power), y2: y(10 ** power), class: "rn-play-grid" }),
        drawn("text", { x: ROOM.left - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, exponent(power)));
    }
    for (const step of [0, last]) parts.push(drawn("text", { x: x(step), y: height - 14, "text-anchor": "middle" }, step));
    parts.push(drawn("text", { x: x(last / 2), y: height - 14, "text-anchor": "middle" }, words.steps));
    const ends = [];
    for (const { name, color, dash, losses } of lines) {
      const points = thin(losses, 240).map(([step, loss]) => `${x(step).toFixed(1)} ${y(loss).toFixed(1)}`);
      if (!points.length) continue;
      const style = `stroke: var(${color}); stroke-dasharray: ${dash}`;
      parts.push(drawn("path", { d: `M${points.join("L")}`, class: "rn-play-line", style }));
      const [atX, atY] = points[points.length - 1].split(" ").map(Number);
      const clash = ends.find((other) => Math.abs(other - atY) < 15);
      const at = clash === undefined ? atY : clash + 15;
      ends.push(at);
      parts.push(drawn("text", { x: atX + 6, y: at + 4, class: "rn-play-name", style: `fill: var(${color}-word)` }, name));
    }
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    svg.replaceChildren(...parts);
  }

  const extremes = (values, which) => (values.length ? [values.reduce((a, b) => which(a, b))] : []);

  /* At most `most` pairs [step, loss]; the last one always. */
  function thin(losses, most) {
    const stride = Math.ceil(losses.length / most), found = [];
    losses.forEach((loss, step) => {
      if (Number.isFinite(loss) && (step % stride === 0 || step === losses.length - 1)) found.push([step, loss]);
    });
    return found;
  }

  /* ---- bars ------------------------------------------------------------------------------------- */

  const LOW = -8, HIGH = 6; // powers of ten at the foot and at the top

  /* Height of a bar in per cent. */
  function heightOf(value) {
    if (!(value > 0)) return 0;
    return 100 * Math.min(Math.max((Math.log10(value) - LOW) / (HIGH - LOW), 0), 1);
  }

  globalThis.PlaygroundDrawing = { drawSurface, drawLosses, heightOf, exponent, LOW, HIGH };
})();
