/* <digit-lab>: draw a digit; a small residual net names it in the page, and its blocks can be switched off while it
   looks.  Light DOM: a <script type="application/json"> with the net's weights and ten sample digits, made by
   tools/lesions.py, then what readers without scripts get.  needs: page, blocklab, digitnet */
(function () {
  "use strict";

  const TEXT = {
    board: "Drawing board. Arrow keys move the pen, Space puts it down and lifts it, E changes between pen and eraser, " +
      "Delete clears the board.",
    sample: "Sample",
    own: "",
    eraser: "Eraser",
    clear: "Clear",
    title: "Switch blocks off",
    sees: "what the net sees: 28 × 28 pixels",
    seesLabel: "The drawing as the net sees it, scaled into 20 by 20 pixels and centered by mass.",
    probabilities: "Probability of each digit",
    percent: (p) => `${(100 * p).toFixed(1)} %`,
    empty: "The board is empty: draw a digit, or choose a sample.",
    whole: (digit, p) => `The net says ${digit}, with probability ${p}.`,
    lesioned: (list, digit, p, before, q) => `Without ${list} the net says ${digit} (${p}); the whole net says ` +
      `${digit === before ? "the same" : before} (${q}).`,
    legend: "Bar: the net as it is now. Line: the whole net. Draw with mouse or finger. With keys: arrows move the pen, " +
      "Space puts it down or lifts it, E erases, Delete clears.",
    tryThis: "Try this: switch the blocks off one at a time. Which of them does this digit need? Then close a 3, or add a " +
      "stroke to a 7, and see where the answer tips.",
    caption: "Probabilities and logits",
    head: ["digit", "now", "whole net", "logit now", "logit, whole net"],
    logit: (x) => x.toFixed(2).replace("-", "−"),
    origin: ({ origin, rounding, license }) => `Trained once on 60,000 digits of MNIST (seed 0), ${origin.date}, commit ` +
      `${origin.commit.slice(0, 7)}; errors on the ${rounding.n.toLocaleString("en-US")} of the test set: ` +
      `${TEXT.percent2(rounding.error)} as trained, ${TEXT.percent2(rounding.error_int8)} with the weights in eight bits ` +
      `that this page holds. ${license}.`,
    percent2: (x) => `${(100 * x).toFixed(2)} %`,
  };

  const { element, table, writeHash, drag, define } = globalThis.BookPage;
  const { BlockLab, DigitNet } = globalThis;
  const SIDE = 56, CELL = 5, PEN = 2.6, RUBBER = 4.2; // board in cells, pixels a cell, radii in cells
  const GRAY = "0123456789abcdefg", SAMPLE = 8, SPREAD = 6, FIRST = 3; // scikit-learn's digits: 8 × 8, 17 levels

  /* A sample of 8 × 8 cells spread over the middle of the board, in between straight. */
  function enlarge(sample) {
    const ink = new Float32Array(SIDE * SIDE), edge = (SIDE - SAMPLE * SPREAD) / 2;
    const value = (y, x) => (Math.min(y, x) < 0 || Math.max(y, x) >= SAMPLE ? 0 : GRAY.indexOf(sample[y * SAMPLE + x]) / 16);
    for (let at = 0; at < ink.length; at++) {
      const v = (Math.floor(at / SIDE) + 0.5 - edge) / SPREAD - 0.5, u = (at % SIDE + 0.5 - edge) / SPREAD - 0.5;
      const top = Math.floor(v), left = Math.floor(u), b = v - top, a = u - left;
      ink[at] = (1 - b) * ((1 - a) * value(top, left) + a * value(top, left + 1)) +
        b * ((1 - a) * value(top + 1, left) + a * value(top + 1, left + 1));
    }
    return ink;
  }

  /* A straight stroke of a round pen with a soft edge; erasing takes ink away. */
  function stroke(ink, [x0, y0], [x1, y1], erase) {
    const radius = erase ? RUBBER : PEN, square = (x1 - x0) ** 2 + (y1 - y0) ** 2;
    for (let at = 0; at < ink.length; at++) {
      const px = at % SIDE + 0.5 - x0, py = Math.floor(at / SIDE) + 0.5 - y0;
      const t = square ? Math.min(1, Math.max(0, (px * (x1 - x0) + py * (y1 - y0)) / square)) : 0;
      const covered = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(px - t * (x1 - x0), py - t * (y1 - y0))));
      ink[at] = erase ? Math.min(ink[at], 1 - covered) : Math.max(ink[at], covered);
    }
  }

  /* State: the blocks that are off, and the sample on the board; null for a drawing of the reader's own, which stays
     out of the address. */
  class DigitLab extends BlockLab {
    get stem() { return "digit"; }

    get title() { return TEXT.title; }

    start() { return { off: new Set(), sample: FIRST }; }

    toggled(off) { return { off, sample: this.state.sample }; }

    untouched({ off, sample }) { return sample === FIRST && !off.size; }

    pack(state) {
      const { off, sample } = state;
      return sample === null || this.untouched(state) ? null : `s${sample},${BlockLab.numbers(off).join(".")}`;
    }

    unpack(text) {
      const found = /^s(\d),([\d.]*)$/.exec(text), off = found && BlockLab.places(found[2]);
      return off ? { off, sample: Number(found[1]) } : null;
    }

    content() {
      this.net = DigitNet.load(this.data);
      this.pen = { at: [SIDE / 2, SIDE / 2], down: false, shown: false, erase: false };
      this.seen = element("canvas", { width: DigitNet.FIELD, height: DigitNet.FIELD, className: "rn-digit-seen" });
      this.seen.setAttribute("role", "img");
      this.seen.setAttribute("aria-label", TEXT.seesLabel);
      this.bars = element("div", { className: "rn-digit-bars" });
      return [element("div", { className: "rn-digit-stage" },
        element("div", { className: "rn-digit-left" }, this.makeBoard(), this.tools()),
        element("div", {}, element("div", { className: "rn-digit-sees" }, this.seen, element("span", { textContent: TEXT.sees })),
          element("p", { className: "rn-lab-head", textContent: TEXT.probabilities }), this.bars)),
      ...this.blocks(), this.note, this.verdict, element("p", { className: "rn-lab-small", textContent: TEXT.legend }),
      ...this.foot(TEXT.tryThis, "recorded", TEXT.origin(this.data))];
    }

    makeBoard() {
      this.board = element("canvas", { width: SIDE * CELL, height: SIDE * CELL, className: "rn-digit-board", tabIndex: 0 });
      this.board.setAttribute("role", "application");
      this.board.setAttribute("aria-label", TEXT.board);
      this.board.addEventListener("pointerdown", (event) => this.grab(event));
      this.board.addEventListener("keydown", (event) => this.press(event));
      this.board.addEventListener("blur", () => this.setPen({ down: false, shown: false }));
      return this.board;
    }

    tools() {
      this.select = element("select", { id: `${this.key}-sample` });
      this.select.append(...[TEXT.own, ...this.data.samples.keys()].map((text) => element("option", { textContent: text })));
      // the first one stands for a drawing of the reader's own, which cannot be chosen
      Object.assign(this.select.options[0], { disabled: true, hidden: true });
      this.select.addEventListener("change", () => this.change({ off: this.state.off, sample: this.select.selectedIndex - 1 }));
      const button = (textContent, act) => {
        const made = element("button", { type: "button", textContent });
        made.addEventListener("click", act);
        return made;
      };
      this.eraser = button(TEXT.eraser, () => this.setPen({ erase: !this.pen.erase }));
      this.eraser.setAttribute("aria-pressed", false);
      return element("div", { className: "rn-lab-bar" }, button(TEXT.clear, () => this.clear()), this.eraser,
        element("label", { htmlFor: this.select.id, textContent: TEXT.sample }), this.select);
    }

    /* --- the pen */

    setPen(part) {
      Object.assign(this.pen, part);
      this.eraser.setAttribute("aria-pressed", this.pen.erase);
      this.paint();
    }

    clear() {
      this.ink.fill(0);
      this.touched();
    }

    line(from, to) {
      stroke(this.ink, from, to, this.pen.erase);
      this.touched();
    }

    /* The reader has changed the drawing. A pointer moves more often than the page is drawn. */
    touched() {
      this.whole = null;
      this.note.hidden = true;
      this.state = { off: this.state.off, sample: null };
      writeHash(this.key, null);
      this.waiting = this.waiting || requestAnimationFrame(() => {
        this.waiting = 0;
        this.show(this.state);
      });
    }

    grab(event) {
      if (event.button > 0) return;
      const where = (moved) => {
        const box = this.board.getBoundingClientRect();
        return [SIDE * (moved.clientX - box.left) / box.width, SIDE * (moved.clientY - box.top) / box.height];
      };
      let last = where(event);
      const follow = (moved) => {
        const here = where(moved);
        this.line(last, here);
        last = here;
      };
      if (!drag(this.board, event, follow)) return;
      this.board.focus({ preventScroll: true });
      this.setPen({ down: false, shown: false });
      this.line(last, last);
    }

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] }[event.key];
      const { at, down, erase } = this.pen;
      if (step) {
        const next = at.map((v, k) => Math.min(Math.max(v + step[k], 0), SIDE));
        if (down) this.line(at, next);
        this.pen.at = next;
      } else if (event.key === " ") {
        this.pen.down = !down;
        if (!down) this.line(at, at);
      } else if (event.key.toLowerCase() === "e") this.pen.erase = !erase;
      else if (event.key === "Delete" || event.key === "Backspace") this.clear();
      else return;
      event.preventDefault();
      this.setPen({ shown: true });
    }

    /* --- what is seen */

    draw() {
      const { off, sample } = this.state;
      if (sample !== null && sample !== this.onBoard) {
        this.ink = enlarge(this.data.samples[sample]);
        this.whole = null;
      }
      this.onBoard = sample;
      const pixels = DigitNet.place(this.ink, SIDE);
      this.select.selectedIndex = sample === null ? 0 : sample + 1;
      this.paint();
      paintGray(this.seen, pixels || new Float32Array(DigitNet.FIELD ** 2), DigitNet.FIELD);
      if (pixels) {
        this.whole = this.whole || DigitNet.logits(this.net, pixels);
        this.now = off.size ? DigitNet.logits(this.net, pixels, (k) => off.has(k)) : this.whole;
      }
      const now = pixels && DigitNet.softmax(this.now), whole = pixels && DigitNet.softmax(this.whole);
      this.bars.replaceChildren(...Array.from({ length: 10 }, (_, digit) => makeBar(digit, now, whole)).flat());
      this.verdict.textContent = pixels ? this.words(now, whole) : TEXT.empty;
      this.table.replaceChildren(pixels ? table(TEXT.caption, TEXT.head, this.now.map((logit, digit) => [digit,
        TEXT.percent(now[digit]), TEXT.percent(whole[digit]), TEXT.logit(logit), TEXT.logit(this.whole[digit])])) : "");
    }

    words(now, whole) {
      const { off } = this.state, best = now.indexOf(Math.max(...now)), before = whole.indexOf(Math.max(...whole));
      if (!off.size) return TEXT.whole(best, TEXT.percent(now[best]));
      return TEXT.lesioned(BlockLab.list(off), best, TEXT.percent(now[best]), before, TEXT.percent(whole[before]));
    }

    paint() {
      if (!this.ink) return;
      paintGray(this.board, this.ink, SIDE, CELL);
      const { at: [x, y], down, shown, erase } = this.pen, context = this.board.getContext("2d");
      if (!shown) return;
      context.beginPath();
      context.arc(x * CELL, y * CELL, (erase ? RUBBER : PEN) * CELL, 0, 2 * Math.PI);
      context.lineWidth = down ? 4 : 2;
      context.setLineDash(erase ? [4, 4] : []);
      context.strokeStyle = "#0072b2";
      context.stroke();
    }
  }

  /* Ink as dark cells on white, in both themes: that is what paper looks like. */
  function paintGray(canvas, ink, side, cell = 1) {
    const context = canvas.getContext("2d"), wide = side * cell, image = context.createImageData(wide, wide);
    for (let at = 0; at < wide * wide; at++) {
      const gray = 255 - Math.round(255 * ink[Math.floor(at / wide / cell) * side + Math.floor(at % wide / cell)]);
      image.data.fill(gray, 4 * at, 4 * at + 3);
      image.data[4 * at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  function makeBar(digit, now, whole) {
    const tag = now && now[digit] === Math.max(...now) ? "b" : "span";
    return [element(tag, { textContent: digit }), BlockLab.bar("rn-digit-bar", now && now[digit], whole && whole[digit]),
      element(tag, { className: "rn-digit-number", textContent: now ? TEXT.percent(now[digit]) : "" })];
  }

  globalThis.DigitLab = Object.assign(DigitLab, { enlarge, stroke, SIDE });
  define("digit-lab", DigitLab);
})();
