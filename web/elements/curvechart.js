/* The chart of <curve-explorer>: lines, bands, markers, crosses and names, drawn in pixels of the page, so that words
   keep their size on a phone.  A part, not an element.  Classic script: one name on globalThis.
   needs: page, scales */
(function () {
  "use strict";

  const TEXT = {
    measures: { percent: "error", number: "loss" },
    steps: (thousands) => (thousands ? "steps, thousands" : "steps"),
    chart: (fields, names) => `${fields} against steps for ${names}. The numbers are in the table below.`,
    empty: "Nothing is shown. Choose a variant and a curve.",
  };

  const { drawn } = globalThis.BookPage;
  const { linearTicks, logTicks, scale, apart, grouped, significant } = globalThis.BookScales;
  const COLORS = ["plain", "residual", "green", "purple"];
  const MARKERS = [null, "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0", "M-3 -3h6v6h-6z", "M0 -3.8L3.6 2.8H-3.6Z", "M0 -4L4 0L0 4L-4 0Z",
    "M0 3.8L3.6 -2.8H-3.6Z", "M-3.4 0H3.4M0 -3.4V3.4", "M-2.6 -2.6L2.6 2.6M-2.6 2.6L2.6 -2.6", "M-3 -3.4H3L-3 3.4H3Z"];
  const LABEL = 14.5;

  /* The place of the last row at or before a step; −1 where there is none yet. */
  function placeAt(steps, step) {
    let k = steps.length - 1;
    while (k >= 0 && steps[k] > step) k -= 1;
    return k;
  }

  function chosenRuns(variant, series, runs) {
    if (runs === "mean" || runs === "single") return series.runs;
    return series.runs.filter((_, k) => String(variant.seeds[k]) === runs);
  }

  /* Variants of the same color and weight get a marker each, so that color is never alone. */
  function looks(variants) {
    const seen = new Map();
    return variants.map((v) => {
      const kind = COLORS.includes(v.color) ? v.color : "green";
      const key = `${kind} ${v.weight}`, count = seen.get(key) || 0;
      seen.set(key, count + 1);
      const depth = v.weight < 1.5 ? "rn-shallow" : "rn-deep";
      return { classes: `rn-curve rn-is-${kind} ${depth}`, marker: MARKERS[count % MARKERS.length], kind };
    });
  }

  /* Variants (with their places) and columns that a state switches on. */
  function on(data, { shown, fields, measure }) {
    return { variants: data.variants.map((v, k) => ({ v, k })).filter(({ v }) => shown.includes(v.name)),
      fields: data.fields.filter((f) => fields.includes(f.field) && f.percent === (measure === "percent")) };
  }

  /* Published values of what is on. */
  function publishedOn(data, { shown, fields, measure }) {
    return data.published.filter((p) => shown.includes(p.name) && fields.includes(p.field) &&
      data.fields.some((f) => f.field === p.field && f.percent === (measure === "percent")));
  }

  /* A small drawing of a variant's line. */
  function swatch({ classes, marker }) {
    const svg = drawn("svg", { viewBox: "0 0 26 12", width: 26, height: 12, class: "rn-curves-swatch", "aria-hidden": "true" });
    const group = drawn("g", { class: classes });
    group.append(drawn("path", { d: "M0 6H26", class: "rn-mean" }));
    if (marker) group.append(drawn("path", { d: marker, class: "rn-marker", transform: "translate(13 6)" }));
    svg.append(group);
    return svg;
  }

  class CurveChart {
    constructor(data) {
      this.data = data;
      this.looks = looks(data.variants);
      this.chart = drawn("svg", { class: "rn-curves-chart", role: "img" });
      this.layer = { back: drawn("g", {}), read: drawn("g", { class: "rn-curves-read" }) };
      this.chart.append(this.layer.back, this.layer.read);
    }

    /* The step of `stops` nearest to a place on the page. */
    nearest(stops, clientX) {
      const x = clientX - this.chart.getBoundingClientRect().left;
      return stops.reduce((a, b) => (Math.abs(this.x(b) - x) < Math.abs(this.x(a) - x) ? b : a));
    }

    /* state: {shown, fields, measure, runs, log, step} as in <curve-explorer>.  Returns the signs that are on it. */
    draw(state) {
      this.state = state;
      const width = this.chart.clientWidth;
      if (!width) return [];
      const height = Math.round(Math.min(Math.max(0.6 * width, 290), 400));
      const { variants, fields } = on(this.data, state);
      this.lines = variants.flatMap(({ v, k }) => fields.filter((f) => v.series[f.field]).map((f) => this.line(v, k, f)))
        .filter((line) => line.runs.length);
      const longest = Math.max(0, ...variants.map(({ v }) => v.name.length));
      const right = variants.length * LABEL > height - 60 ? 14 : Math.min(8.2 * longest + 12, 0.34 * width);
      this.box = { left: 48, right: width - right, top: 28, bottom: height - 42, named: right > 14 };
      this.chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.chart.style.height = `${height}px`;
      this.chart.setAttribute("aria-label", this.lines.length
        ? TEXT.chart(fields.map((f) => f.name).join(", "), variants.map(({ v }) => v.name).join(", ")) : TEXT.empty);
      this.setScales();
      this.present = new Set();
      const parts = [...this.axes(), ...variants.map(({ v, k }) => this.curve(v, k)), ...this.circles()];
      if (!this.lines.length) parts.push(drawn("text", { x: this.box.left + 12, y: 70 }, TEXT.empty));
      this.layer.back.replaceChildren(...parts, ...this.labels(variants));
      this.cross(state.step);
      return [...this.present];
    }

    /* One variant's column under the present choice of runs. */
    line(v, k, field) {
      const series = v.series[field.field], { runs } = this.state;
      const chosen = chosenRuns(v, series, runs), mean = runs === "mean";
      const one = chosen.length === 1 ? chosen[0] : null;
      const low = mean ? series.mean.map((m, i) => (m === null || series.std[i] === null ? null : m - series.std[i])) : [];
      const high = mean ? series.mean.map((m, i) => (m === null || series.std[i] === null ? null : m + series.std[i])) : [];
      const hair = !one && (!mean || chosen.length < 5 || series.mean.includes(null));
      return { v, k, field, steps: this.data.steps[series.at], main: mean && !one ? series.mean : one, low, high, runs: chosen,
        hair: hair ? chosen : [], strong: !mean };
    }

    setScales() {
      const numbers = this.lines.flatMap((l) => [...l.runs.flat(), ...l.high]).filter((n) => n !== null)
        .concat(publishedOn(this.data, this.state).map((p) => p.value));
      const positive = this.lines.flatMap((l) => [...l.runs.flat(), ...(l.main || [])]).filter((n) => n > 0);
      const most = Math.max(...numbers, 0) || 1;
      const { box } = this, { log } = this.state;
      if (log) {
        let low = positive.length ? Math.min(...positive) / 1.15 : most / 10;
        if (most / low < 2) low = most / 2;
        this.floor = low;
        this.ticks = logTicks(low, most * 1.1);
        this.y = scale(low, most * 1.1, box.bottom, box.top, true);
      } else {
        this.floor = 0;
        this.ticks = linearTicks(most);
        this.y = scale(0, Math.max(most, this.ticks[this.ticks.length - 1]), box.bottom, box.top, false);
      }
      this.x = scale(0, this.data.end, box.left, box.right, false);
    }

    axes() {
      const { box, data } = this;
      const inPercent = this.state.measure === "percent";
      const digits = Math.max(0, ...this.ticks.filter(Boolean).map((t) => -Math.floor(Math.log10(100 * t * 1.0001))));
      const parts = [drawn("text", { x: 2, y: 13, class: "rn-axis-name" }, TEXT.measures[this.state.measure])];
      for (const tick of this.ticks) {
        const y = this.y(tick);
        parts.push(drawn("line", { x1: box.left, x2: box.right, y1: y, y2: y, class: "rn-grid" }));
        parts.push(drawn("text", { x: box.left - 8, y: y + 4, "text-anchor": "end", class: "rn-tick-y" },
          inPercent ? `${this.state.log ? Number((100 * tick).toPrecision(3)) : (100 * tick).toFixed(digits)} %` : significant(tick)));
      }
      parts.push(drawn("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "rn-axis" }));
      const thousands = data.end >= 10000;
      for (const tick of linearTicks(data.end, box.right - box.left < 330 ? 4 : 6).filter((t) => t <= data.end)) {
        parts.push(drawn("line", { x1: this.x(tick), x2: this.x(tick), y1: box.bottom, y2: box.bottom + 4, class: "rn-axis" }));
        parts.push(drawn("text", { x: this.x(tick), y: box.bottom + 17, "text-anchor": "middle" }, thousands ? tick / 1000 : grouped(tick)));
      }
      parts.push(drawn("text", { x: box.right, y: box.bottom + 34, "text-anchor": "end" }, TEXT.steps(thousands)));
      for (const { step, name } of data.marks) {
        const x = this.x(step), late = x > (box.left + box.right) / 2;
        parts.push(drawn("line", { x1: x, x2: x, y1: box.top - 10, y2: box.bottom, class: "rn-mark" }),
          drawn("text", { x: x + (late ? -5 : 5), y: box.top - 3, "text-anchor": late ? "end" : "start" }, name));
      }
      return parts;
    }

    /* A path that breaks where there is no number, or no place for it. */
    path(steps, values) {
      let pen = "M", d = "";
      values.forEach((value, i) => {
        const y = this.y(value);
        if (y === null) pen = "M";
        else {
          d += `${pen}${this.x(steps[i]).toFixed(1)} ${y.toFixed(1)}`;
          pen = "L";
        }
      });
      return d;
    }

    curve(v, k) {
      const group = drawn("g", { class: this.looks[k].classes, "data-variant": v.name });
      for (const line of this.lines.filter((l) => l.k === k)) {
        const kind = line.field.train ? "rn-train" : "rn-test";
        if (line.high.some((h) => h !== null)) group.append(drawn("path", { d: this.band(line), class: "rn-band" }));
        for (const run of line.hair) group.append(drawn("path", { d: this.path(line.steps, run), class: `rn-seed ${kind}${line.strong ? " rn-strong" : ""}` }));
        if (line.main) group.append(drawn("path", { d: this.path(line.steps, line.main), class: `rn-mean ${kind}` }));
        group.append(...this.points(line, k), ...this.crosses(v, line));
      }
      return group;
    }

    band({ steps, low, high }) {
      const floor = (value) => this.y(Math.max(value, this.floor));
      const pieces = [];
      high.forEach((h, i) => {
        if (h === null) return;
        if (i === 0 || high[i - 1] === null) pieces.push([]);
        pieces[pieces.length - 1].push(i);
      });
      return pieces.map((piece) => `M${piece.map((i) => `${this.x(steps[i]).toFixed(1)} ${floor(high[i]).toFixed(1)}`).join("L")}` +
        `${[...piece].reverse().map((i) => `L${this.x(steps[i]).toFixed(1)} ${floor(low[i]).toFixed(1)}`).join("")}Z`).join("");
    }

    /* Markers (about eight along a line), single rows, zeros on a logarithmic axis, the end of a stopped run. */
    points({ steps, main, runs, v }, k) {
      const parts = [], every = Math.max(1, Math.ceil(steps.length / 8)), { marker } = this.looks[k];
      const put = (d, x, y, name) => parts.push(drawn("path", { d, class: name, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }));
      const values = main || runs[0];
      values.forEach((value, i) => {
        const y = this.y(value), x = this.x(steps[i]);
        if (y !== null && marker && (steps.length - 1 - i) % every === 0) put(marker, x, y, "rn-marker");
        else if (y !== null && steps.length === 1) put(MARKERS[1], x, y, "rn-marker");
        if (value === 0 && y === null) {
          this.present.add("below");
          put("M-4 -7H4L0 0Z", x, this.box.bottom, "rn-open");
        }
      });
      const last = values.length - 1;
      if (v.stopped && this.y(values[last]) !== null) {
        this.present.add("square");
        put("M-4 -4h8v8h-8z", this.x(steps[last]), this.y(values[last]), "rn-open");
      }
      return parts;
    }

    /* Where a run stopped being finite: on its line, or at the upper edge where its numbers are gone too. */
    crosses(v, { steps, runs, field }) {
      const all = v.series[field.field].runs;
      return v.lost.flatMap((from, k) => {
        if (from === null || !runs.includes(all[k])) return [];
        const i = steps.findIndex((s) => s >= from);
        if (i < 0) return [];
        this.present.add("cross");
        const y = this.y(all[k][i]) ?? this.box.top + 2;
        return [drawn("path", { d: "M-4 -4L4 4M-4 4L4 -4", class: "rn-cross", transform: `translate(${this.x(steps[i]).toFixed(1)} ${y.toFixed(1)})` })];
      });
    }

    circles() {
      return publishedOn(this.data, this.state).map((p) => {
        this.present.add("circle");
        const k = this.data.variants.findIndex((v) => v.name === p.name), x = this.x(this.data.end);
        const group = drawn("g", { class: this.looks[k].classes });
        const reach = p.uncertainty || 0;
        group.append(drawn("path", { d: `M${x} ${this.y(p.value + reach)}V${this.y(Math.max(p.value - reach, this.floor))}`, class: "rn-open" }),
          drawn("circle", { cx: x, cy: this.y(p.value), r: 4.5, class: "rn-open rn-published-value" }));
        return group;
      });
    }

    /* Names at the right ends; where there are too many for the height, the list above is the legend. */
    labels(variants) {
      if (!this.box.named) return [];
      const ends = variants.map(({ v, k }) => {
        const lines = this.lines.filter((l) => l.k === k), line = lines.find((l) => !l.field.train) || lines[0];
        if (!line) return null;
        const values = (line.main || line.runs[0]), i = values.findLastIndex((n) => this.y(n) !== null);
        const other = line.runs.flat().findLast((n) => this.y(n) !== null);
        return { v, k, x: Math.min(this.x(line.steps[line.steps.length - 1]), this.box.right) + 8, y: this.y(i >= 0 ? values[i] : other ?? null) ?? this.box.top };
      }).filter(Boolean);
      const places = apart(ends.map((end) => end.y), LABEL, this.box.top, this.box.bottom);
      const room = Math.floor((this.chart.clientWidth - this.box.right - 8) / 6.9);
      return ends.map(({ v, k, x }, i) => drawn("text", { x: x.toFixed(1), y: (places[i] + 4).toFixed(1), class: `rn-label ${this.looks[k].classes}` },
        v.name.length > room ? `${v.name.slice(0, room - 1)}…` : v.name));
    }

    highlight(k) {
      const name = k === null ? null : this.data.variants[k].name;
      const active = name !== null && this.state.shown.includes(name);
      for (const group of this.layer.back.querySelectorAll("g[data-variant]")) {
        group.classList.toggle("rn-cool", active && group.dataset.variant !== name);
      }
    }

    /* The line through the step that is read, and a dot on each curve. */
    cross(step) {
      if (!this.x) return;
      const x = this.x(step);
      const dots = this.lines.filter((l) => l.main).map((l) => [l, placeAt(l.steps, step)]).filter(([l, i]) => i >= 0 && this.y(l.main[i]) !== null)
        .map(([l, i]) => drawn("circle", { cx: this.x(l.steps[i]).toFixed(1), cy: this.y(l.main[i]).toFixed(1), r: 3, class: this.looks[l.k].classes }));
      this.layer.read.replaceChildren(drawn("line", { x1: x, x2: x, y1: this.box.top, y2: this.box.bottom }), ...dots);
    }
  }

  globalThis.CurveChart = Object.assign(CurveChart, { COLORS, TEXT, placeAt, chosenRuns, on, publishedOn, swatch });
})();
