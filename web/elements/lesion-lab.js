/* <lesion-lab>: a residual and a plain net of the same depth; blocks are taken out of both, or two change places, and
   the page looks up what the nets then answer.  Light DOM: a <script type="application/json"> that tools/lesions.py
   makes, then what readers without scripts get.  Nothing is computed here but sums.
   needs: page, blocklab */
(function () {
  "use strict";

  const fixed = (x) => (x + 1e-9).toFixed(1); // ties go up, as in the page's table

  const TEXT = {
    title: "Take blocks out of both nets",
    more: "More: let two blocks change places",
    swap: "Exchange",
    noSwap: "none",
    pair: ([a, b]) => `blocks ${a + 1} and ${b + 1}`,
    none: "no such net",
    percent: (x) => `${fixed(100 * x)} %`,
    anew: (x) => `◇ ${TEXT.percent(x)}`,
    legend: "Bar: right answers of the lesioned net. Line: of the whole net. ◇: of the lesioned net with its batch norm " +
      "statistics measured anew. Below: each dash is one combination, the curve their mean, the circle yours.",
    whole: (r, p, n) => `Both nets are whole. The residual one names ${r} of the ${n} test pictures right, the plain one ${p}.`,
    exchanged: (pair) => `With ${TEXT.pair(pair)} exchanged`,
    without: (list) => `Without ${list}`,
    loses: (points) => `${points < -0.05 ? "gains" : "loses"} ` +
      `${Math.abs(points) < 0.05 ? "nothing" : `${fixed(Math.abs(points))} points`}`,
    residual: (subject, r) => `${subject} the residual net ${TEXT.loses(r)}`,
    plain: (p) => `, the plain net ${TEXT.loses(p)}.`,
    impossible: (list, several) => `. The plain net cannot be run: ${list} change${several ? "" : "s"} the shape of the ` +
      "signal, and nothing leads around.",
    chart: "Right answers of every combination, by the number of blocks that are gone",
    y: "right answers, every combination of blocks",
    x: "blocks gone",
    chance: "guessing",
    pictures: "By class: right answers, and what each net says to the picture shown",
    says: (right, word) => (right ? "✓" : `✗ ${word}`),
    tryThis: "Try this: take out block 7, then 1 instead, then 1 and 2 together. Which of them does the plain net miss, which " +
      "the residual one? Where does ◇ stand far from the bar, so that new statistics give back much of what was lost?",
    single: "Right answers without one block, in per cent; ◇ with statistics measured anew",
    block: (k) => `block ${k + 1}`,
    wholeNet: "whole net",
    classes: "Right answers by class for the lesion above, in per cent (whole net in brackets)",
    absent: "–",
    origin: (n, o, license) => `The first ${n} test pictures of Fashion-MNIST; one training run a net (seed 0), ${o.date}, ` +
      `commit ${o.commit.slice(0, 7)}. ${license}.`,
  };

  const { element, drawn, table, define } = globalThis.BookPage;
  const { BlockLab } = globalThis, { BLOCKS, SIDE } = BlockLab;
  const KINDS = ["residual", "plain"], CLASSES = 10;
  const ROOM = { left: 44, right: 66, top: 26, bottom: 38 };

  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const ofClasses = (list, at) => list.slice(CLASSES * at, CLASSES * (at + 1));

  /* The place of a combination in the file: bit p is set where the p-th block that can go is gone; -1 for none. */
  function place(free, off) {
    const bits = [...off].map((k) => free.indexOf(k));
    return bits.includes(-1) ? -1 : sum(bits.map((bit) => 2 ** bit));
  }

  /* What a lesioned net answers: {correct by class, total, again, answers}; null where there is no such net. */
  function result(net, { off, swap }) {
    const from = swap ? net.swaps.find((s) => s.pair.join() === swap.join()) : net;
    const at = swap ? 0 : place(net.free, off);
    if (!from || at < 0) return null;
    const correct = ofClasses(from.correct, at);
    return { correct, total: sum(correct), again: [].concat(from.again)[at], answers: ofClasses(from.answers, at) };
  }

  const totals = (net) => net.again.map((_, at) => sum(ofClasses(net.correct, at)));

  /* Of each number of blocks gone: the right answers of all combinations. */
  function byCount(net) {
    const groups = Array.from({ length: net.free.length + 1 }, () => []);
    totals(net).forEach((right, at) => groups[at.toString(2).replaceAll("0", "").length].push(right));
    return groups;
  }

  class LesionLab extends BlockLab {
    get stem() { return "lesion"; }

    get title() { return TEXT.title; }

    start() { return { off: new Set(), swap: null }; }

    toggled(off) { return { off, swap: null }; }

    pack({ off, swap }) {
      return (swap ? `swap${swap[0] + 1}.${swap[1] + 1}` : BlockLab.numbers(off).join(".")) || null;
    }

    unpack(text) {
      const swap = this.swaps.find(([a, b]) => text === `swap${a + 1}.${b + 1}`);
      const off = swap ? new Set() : BlockLab.places(text);
      return off && { off, swap: swap || null };
    }

    content() {
      const { n, nets, license } = this.data;
      this.swaps = nets.residual.swaps.map((s) => s.pair);
      this.whole = Object.fromEntries(KINDS.map((kind) => [kind, result(nets[kind], this.start())]));
      this.pictures = this.drawPictures();
      this.select = element("select", { id: `${this.key}-swap` });
      this.select.append(...[TEXT.noSwap, ...this.swaps.map(TEXT.pair)].map((text) => element("option", { textContent: text })));
      this.select.addEventListener("change", () => this.change({ off: new Set(), swap: this.swaps[this.select.selectedIndex - 1] || null }));
      this.rows = element("div", { className: "rn-lesion-rows" });
      this.chart = drawn("svg", { class: "rn-lesion-chart", role: "img", "aria-label": TEXT.chart });
      this.classes = element("div", { className: "rn-lesion-classes" });
      new ResizeObserver(() => this.drawChart()).observe(this.chart);
      return [...this.blocks(),
        element("details", {}, element("summary", { textContent: TEXT.more }), element("div", { className: "rn-lab-bar" },
          element("label", { htmlFor: this.select.id, textContent: TEXT.swap }), this.select)),
        this.note, this.rows, this.verdict, element("p", { className: "rn-lab-small", textContent: TEXT.legend }), this.chart,
        element("p", { className: "rn-lab-head", textContent: TEXT.pictures }), this.classes,
        ...this.foot(TEXT.tryThis, "recorded", TEXT.origin(n.toLocaleString("en-US"), nets.residual.origin, license), this.singles())];
    }

    draw() {
      const { n, nets, classes } = this.data;
      this.select.selectedIndex = 1 + this.swaps.indexOf(this.state.swap);
      this.now = Object.fromEntries(KINDS.map((kind) => [kind, result(nets[kind], this.state)]));
      this.verdict.textContent = this.words();
      this.rows.replaceChildren(...KINDS.flatMap((kind) => row(kind, this.whole[kind], this.now[kind], n)));
      this.classes.replaceChildren(...classes.map((name, c) => this.classCell(name, c)));
      this.table.replaceChildren(this.classTable());
      this.drawChart();
    }

    words() {
      const { n, nets } = this.data, { off, swap } = this.state, { whole, now } = this;
      const lost = (kind) => 100 * (whole[kind].total - now[kind].total) / n;
      if (!off.size && !swap) {
        return TEXT.whole(TEXT.percent(whole.residual.total / n), TEXT.percent(whole.plain.total / n), n.toLocaleString("en-US"));
      }
      const stay = [...off].filter((k) => !nets.plain.free.includes(k));
      return TEXT.residual(swap ? TEXT.exchanged(swap) : TEXT.without(BlockLab.list(off)), lost("residual")) +
        (now.plain ? TEXT.plain(lost("plain")) : TEXT.impossible(BlockLab.list(stay), stay.length > 1));
    }

    drawPictures() {
      const bytes = Uint8Array.from(atob(this.data.pictures), (c) => c.charCodeAt(0));
      return this.data.classes.map((name, c) => {
        const canvas = element("canvas", { width: SIDE, height: SIDE, className: "rn-lesion-picture" });
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", name);
        const context = canvas.getContext("2d"), image = context.createImageData(SIDE, SIDE);
        for (let i = 0; i < SIDE * SIDE; i++) {
          const gray = 255 - bytes[c * SIDE * SIDE + i]; // dark on light, as on paper
          image.data.set([gray, gray, gray, 255], 4 * i);
        }
        context.putImageData(image, 0, 0);
        return canvas;
      });
    }

    classCell(name, c) {
      const { of_class: of, classes } = this.data;
      const lines = KINDS.flatMap((kind) => {
        const now = this.now[kind], share = now && now.correct[c] / of[c], said = now && Number(now.answers[c]);
        return [element("span", { className: "rn-lesion-line" },
          element("span", { textContent: kind }), element("span", { textContent: now ? `${Math.round(100 * share)} %` : TEXT.absent })),
        BlockLab.bar(`rn-lesion-${kind}`, share, null),
        element("span", { className: "rn-lesion-said", textContent: now ? TEXT.says(said === c, classes[said]) : "" })];
      });
      return element("div", { className: "rn-lesion-class" }, this.pictures[c], element("b", { textContent: name }), ...lines);
    }

    classTable() {
      const per = (found, c) => (found ? fixed(100 * found.correct[c] / this.data.of_class[c]) : TEXT.absent);
      const cell = (kind, c) => `${per(this.now[kind], c)} (${per(this.whole[kind], c)})`;
      return table(TEXT.classes, ["", ...KINDS], this.data.classes.map((name, c) => [name, ...KINDS.map((kind) => cell(kind, c))]));
    }

    singles() {
      const per = (right) => fixed(100 * right / this.data.n);
      const cell = (kind, off) => {
        const found = result(this.data.nets[kind], { off });
        return found ? `${per(found.total)} ◇ ${per(found.again)}` : TEXT.absent;
      };
      const cases = [[TEXT.wholeNet, []], ...Array.from({ length: BLOCKS }, (_, k) => [TEXT.block(k), [k]])];
      return table(TEXT.single, ["", ...KINDS], cases.map(([name, off]) => [name, ...KINDS.map((kind) => cell(kind, off))]));
    }

    /* In pixels of the page, so that words keep their size on a phone. */
    drawChart() {
      const width = this.chart.clientWidth;
      if (!width || !this.state) return;
      const height = Math.round(Math.min(Math.max(0.5 * width, 240), 320));
      this.chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.chart.style.height = `${height}px`;
      const { n, nets } = this.data;
      const x = (gone) => ROOM.left + 14 + (width - ROOM.left - ROOM.right - 14) * gone / BLOCKS;
      const y = (right) => ROOM.top + (height - ROOM.top - ROOM.bottom) * (1 - right / n);
      const parts = axes(x, y, n, height), front = [];
      KINDS.forEach((kind, k) => {
        const groups = byCount(nets[kind]), at = (gone) => x(gone) + 9 * k - 4.5;
        const means = groups.map((rights) => sum(rights) / rights.length);
        const dashes = groups.flatMap((rights, gone) => rights.map((right) => `M${(at(gone) - 3.5).toFixed(1)} ${y(right).toFixed(1)}h7`));
        const line = means.map((right, gone) => `${gone ? "L" : "M"}${at(gone).toFixed(1)} ${y(right).toFixed(1)}`);
        const look = (name) => `rn-lesion-${name} rn-lesion-${kind}`;
        parts.push(drawn("path", { class: look("dots"), d: dashes.join("") }), drawn("path", { class: look("mean"), d: line.join("") }));
        const beside = [3, 1][k]; // where there is room: the curves meet at their ends
        front.push(drawn("text", { x: at(beside) + 6, y: y(Math.max(...groups[beside])) - 9, class: look("name") }, kind));
        if (this.now[kind]) {
          front.push(drawn("circle", { class: look("you"), cx: at(this.state.off.size), cy: y(this.now[kind].total), r: 6.5 }));
        }
      });
      this.chart.replaceChildren(...parts, ...front);
    }
  }

  function axes(x, y, n, height) {
    const end = x(BLOCKS) + 8, words = (text, at, up, anchor) => drawn("text", { x: at, y: up, "text-anchor": anchor }, text);
    const line = (right, name) => drawn("line", { x1: ROOM.left, x2: end, y1: y(right), y2: y(right), class: name });
    const parts = [drawn("text", { x: 2, y: 13, class: "rn-axis-name" }, TEXT.y), words(TEXT.x, x(BLOCKS), height - 4, "end"),
      line(n / CLASSES, "rn-chance"), words(TEXT.chance, end + 4, y(n / CLASSES) + 4, "start")];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      parts.push(line(share * n, share ? "rn-grid" : "rn-axis"), words(`${100 * share} %`, ROOM.left - 6, y(share * n) + 4, "end"));
    }
    for (let gone = 0; gone <= BLOCKS; gone++) parts.push(words(gone, x(gone), height - ROOM.bottom + 17, "middle"));
    return parts;
  }

  /* One net's line: name, bar with the whole net's line and the mark of new statistics, numbers. */
  function row(kind, whole, now, n) {
    const bar = BlockLab.bar(`rn-lesion-${kind}`, now && now.total / n, whole.total / n);
    if (now) {
      bar.append(element("s", { textContent: "◇" }));
      bar.lastChild.style.left = `${100 * now.again / n}%`;
    }
    return [element("span", { textContent: kind }), bar,
      element("b", { textContent: now ? TEXT.percent(now.total / n) : TEXT.none }),
      element("span", { className: "rn-lesion-anew", textContent: now ? TEXT.anew(now.again / n) : "" })];
  }

  globalThis.LesionLab = Object.assign(LesionLab, { place, result, byCount });
  define("lesion-lab", LesionLab);
})();
