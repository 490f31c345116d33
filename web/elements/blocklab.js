/* What lesion-lab and digit-lab share: a net of nine blocks as a row of buttons, and an element that keeps in its state
   (and in the address) which of them are off.  A part, not an element: a script asks for it with "needs: blocklab".
   needs: page */
(function () {
  "use strict";

  const TEXT = {
    reset: "Reset",
    stage: (number) => `stage ${number}`,
    block: (number, stage, changes) => `block ${number}, stage ${stage}${changes ? ", changes the shape" : ""}`,
    changes: "↓",
    list: (numbers) => (numbers.length > 1
      ? `blocks ${numbers.slice(0, -1).join(", ")} and ${numbers[numbers.length - 1]}` : `block ${numbers[0]}`),
    ignored: "The address of this page asks for something that does not exist here; the whole net is shown.",
    table: "Data table",
  };

  const { element, readHash, writeHash, keyOf, BookElement } = globalThis.BookPage;
  const BLOCKS = 9, PER_STAGE = 3, WIDTH = 8, SIDE = 28; // cifar_resnet(20, width=8) on 28 × 28 pixels
  const changes = (k) => k > 0 && k % PER_STAGE === 0;
  const stageOf = (k) => 1 + Math.floor(k / PER_STAGE);

  /* Places (from 0) in the order of the net, as numbers (from 1). */
  const numbers = (off) => [...off].sort((a, b) => a - b).map((k) => k + 1);

  /* "2.5" -> the places 1 and 4; null for what is no such list. */
  function places(text) {
    const found = text === "" ? [] : text.split(".").map(Number);
    return found.every((n) => Number.isInteger(n) && n >= 1 && n <= BLOCKS) ? new Set(found.map((n) => n - 1)) : null;
  }

  /* {node, show(off)}; toggle(place) is called when a block is pressed. */
  function strip(label, toggle) {
    const buttons = Array.from({ length: BLOCKS }, (_, k) => {
      const button = element("button", { type: "button", className: "rn-strip-block" },
        element("span", { textContent: k + 1 + (changes(k) ? TEXT.changes : "") }));
      button.setAttribute("aria-label", TEXT.block(k + 1, stageOf(k), changes(k)));
      button.addEventListener("click", () => toggle(k));
      return button;
    });
    const node = element("div", { className: "rn-strip" });
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", label);
    for (const stage of [1, 2, 3]) {
      const factor = 2 ** (stage - 1), side = SIDE / factor;
      node.append(element("div", { className: "rn-strip-stage" },
        element("div", { className: "rn-strip-blocks" }, ...buttons.filter((_, k) => stageOf(k) === stage)),
        element("div", { className: "rn-strip-words" }, element("b", { textContent: TEXT.stage(stage) }), " ",
          element("span", { textContent: `${WIDTH * factor} × ${side} × ${side}` }))));
    }
    return { node, show: (off) => buttons.forEach((button, k) => button.setAttribute("aria-pressed", !off.has(k))) };
  }

  /* An element with a strip.  Its class has stem, title, start() (a state, {off, …}), pack(state) and unpack(text) for
     the address (null: the start; no such state), content() (nodes, made once), draw() (shows this.state), and
     toggled(off) (the state after a block was pressed). */
  class BlockLab extends BookElement {
    build() {
      const source = this.querySelector('script[type="application/json"]');
      if (!source) return;
      this.data = JSON.parse(source.textContent);
      this.key = keyOf(this, this.stem);
      this.strip = strip(this.title, (k) => {
        const off = new Set(this.state.off);
        if (!off.delete(k)) off.add(k);
        this.change(this.toggled(off));
      });
      this.resetButton = element("button", { type: "button", textContent: TEXT.reset });
      this.resetButton.addEventListener("click", () => this.change(this.start()));
      this.note = element("p", { className: "rn-lab-note", textContent: TEXT.ignored, hidden: true });
      this.verdict = element("p", { className: "rn-lab-verdict" });
      this.verdict.setAttribute("role", "status");
      this.table = element("div");
      this.replaceChildren(element("div", { className: "rn-lab" }, ...this.content()));
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
    }

    /* Title, Reset and the blocks. */
    blocks() {
      return [element("div", { className: "rn-lab-bar" },
        element("span", { className: "rn-lab-title", textContent: this.title }), this.resetButton), this.strip.node];
    }

    /* What stands below: try this, tables, where it comes from ("live" or "recorded"). */
    foot(tryThis, kind, origin, ...tables) {
      return [element("p", { className: "rn-caption", textContent: tryThis }),
        element("details", { className: "rn-data" }, element("summary", { textContent: TEXT.table }), this.table, ...tables),
        element("p", { className: "rn-lab-small" }, element("span", { className: `rn-badge rn-${kind}`, textContent: kind }), " ",
          element("span", { className: "rn-provenance", textContent: origin }))];
    }

    fromHash(first) {
      const text = readHash().get(this.key), wanted = text === null ? null : this.unpack(text);
      this.note.hidden = text === null || wanted !== null;
      if (wanted && first) this.scrollIntoView({ block: "center" });
      if (first || text !== null) this.show(wanted || this.start());
    }

    untouched(state) {
      return this.pack(state) === null;
    }

    change(state) {
      this.note.hidden = true;
      this.show(state);
      writeHash(this.key, this.pack(state));
    }

    show(state) {
      this.state = state;
      this.strip.show(state.off);
      this.resetButton.setAttribute("aria-disabled", this.untouched(state));
      this.draw();
    }
  }

  /* A bar with parts that the style sheets place: i the bar itself, u a line. Shares are fractions, null for none. */
  function bar(name, share, line) {
    const made = element("span", { className: `rn-lab-bar-line ${name}` }, element("i"));
    made.setAttribute("aria-hidden", "true");
    made.firstChild.style.width = `${100 * (share || 0)}%`;
    if (line !== null) {
      made.append(element("u"));
      made.lastChild.style.left = `${100 * line}%`;
    }
    return made;
  }

  globalThis.BlockLab = Object.assign(BlockLab, { BLOCKS, SIDE, numbers, places, list: (off) => TEXT.list(numbers(off)), bar });
})();
