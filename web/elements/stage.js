/* The stage of <residual-playground>: for each net its picture and, below, a bar for each block and kind of number.
   Each bar's button removes its block.  Classic script: one name on globalThis.  needs: page, drawing */
(function () {
  "use strict";

  const { drawSurface, heightOf, exponent, LOW, HIGH } = globalThis.PlaygroundDrawing;
  const { element } = globalThis.BookPage;

  const TEXT = {
    surface: (name, step, right, n) => (right === null ? `The curve that the ${name} net computes after ${step} steps, and ${n} points.`
      : `What the ${name} net computes after ${step} steps, and ${n} points of two classes; ${right} are on their own side.`),
    noSurface: (name, step, n) => `${n} points; the ${name} net computes no numbers any more since step ${step}.`,
    rows: ["gradient ‖∂L/∂W‖", "spread over the points", "1 − cosine similarity"],
    row: (name, what) => `${name}: ${what}`,
    axis: (blocks) => (blocks > 1 ? ["block 1", String(blocks)] : ["block 1"]),
    blocks: (name) => `Blocks of the ${name} net: arrow keys move, Enter removes a block or puts it back`,
    block: (l, values) => `block ${l}: gradient ${values[0]}, spread ${values[1]}, 1 − cosine ${values[2]}`,
    gone: (l) => `block ${l}: removed`,
  };

  class PlaygroundStage {
    /* names and colors of both nets; toggle(index, l) is called for a block of a net; short writes a number. */
    constructor(node, { names, colors, blocks, toggle, short }) {
      Object.assign(this, { names, colors, short });
      this.views = names.map((name, index) => this.view(name, index, blocks, toggle));
      node.replaceChildren(...this.views.map((view) => view.net));
    }

    view(name, index, blocks, toggle) {
      const canvas = element("canvas", { className: "rn-play-canvas" });
      canvas.setAttribute("role", "img");
      const bars = element("div", { className: "rn-play-bars" });
      bars.setAttribute("role", "group");
      bars.setAttribute("aria-label", TEXT.blocks(name));
      const columns = Array.from({ length: blocks }, (_, l) => {
        const column = element("button", { type: "button", tabIndex: l ? -1 : 0 });
        column.addEventListener("click", () => toggle(index, l));
        column.addEventListener("keydown", (event) => move(event, columns, l));
        return column;
      });
      bars.append(...columns);
      const scale = element("div", { className: "rn-play-scale" }, ...TEXT.rows.map((what) => {
        const row = element("div", {}, element("b", { textContent: TEXT.row(name, what) }));
        for (const power of [HIGH, 0, -4, LOW]) {
          const tick = element("small", { textContent: exponent(power) });
          tick.style.bottom = `${heightOf(10 ** power)}%`;
          row.append(tick);
        }
        return row;
      }));
      const axis = element("div", { className: "rn-play-axis" }, ...TEXT.axis(blocks).map((textContent) => element("span", { textContent })));
      const net = element("section", { className: "rn-play-net" },
        element("div", {}, element("p", { className: "rn-play-title", textContent: name }), canvas),
        element("div", { className: "rn-play-frame" }, scale, bars, axis));
      net.style.setProperty("--rn-net", `var(${this.colors[index]})`);
      return { canvas, columns, net };
    }

    /* What the trainer's net said last; finished: the words too. */
    draw(side, points, finished) {
      const { canvas, columns } = this.views[side.index];
      if (finished || side.fresh) drawSurface(canvas, points, side.surface, this.colors[side.index]);
      side.fresh = false;
      const name = this.names[side.index];
      if (finished) {
        canvas.setAttribute("aria-label", side.broken === null ? TEXT.surface(name, side.surfaceStep, side.right, points.n)
          : TEXT.noSurface(name, side.broken, points.n));
      }
      columns.forEach((column, l) => {
        const gone = Boolean(side.removed[l]), values = side.values(l);
        values.forEach((value, row) => column.style.setProperty(`--rn-bar-${row + 1}`, gone ? 0 : heightOf(value) / 100));
        if (!finished) return;
        column.setAttribute("aria-pressed", gone);
        column.title = gone ? TEXT.gone(l + 1) : TEXT.block(l + 1, values.map(this.short));
        column.setAttribute("aria-label", column.title);
      });
    }
  }

  function move(event, columns, l) {
    const to = { ArrowRight: l + 1, ArrowLeft: l - 1, Home: 0, End: columns.length - 1 }[event.key];
    if (to === undefined || !columns[to]) return;
    event.preventDefault();
    columns[l].tabIndex = -1;
    columns[to].tabIndex = 0;
    columns[to].focus();
  }

  globalThis.PlaygroundStage = PlaygroundStage;
})();
