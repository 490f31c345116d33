/* <frame-player label="step" values='["0","1","30"]' start="0">: steps through the pictures inside it.

   The pictures are in the page already (<figure class="rn-frame">, all but one hidden), so this works from
   file:// and without it the first picture still shows.  The state is kept in the address, one key for each
   player, so that a link can point at a frame.  Classic script: name on globalThis.  needs: page */
(function () {
  "use strict";

  const TEXT = {
    previous: "Previous",
    next: "Next",
    reset: "Reset",
    group: (label) => `${label}: choose a frame`,
  };

  const { element, readHash, writeHash, keyOf, BookElement, define } = globalThis.BookPage;

  class FramePlayer extends BookElement {
    build() {
      this.frames = [...this.querySelectorAll("figure.rn-frame")];
      if (this.frames.length === 0) return;
      this.label = this.getAttribute("label") || "frame";
      this.values = this.readValues();
      this.start = this.clamp(Number(this.getAttribute("start")) || 0);
      this.key = keyOf(this, "player");
      this.buildControls();
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
    }

    readValues() {
      let values = [];
      try {
        values = JSON.parse(this.getAttribute("values") || "[]");
      } catch (error) {
        /* Without readable values the frames are numbered. */
      }
      return this.frames.map((frame, i) => String(values[i] ?? i + 1));
    }

    buildControls() {
      const id = `${this.key}-range`;
      const bar = element("div", { className: "rn-player-bar" });
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", TEXT.group(this.label));
      const label = element("label", { htmlFor: id, textContent: this.label });
      this.range = element("input", {
        type: "range", id, min: 0, max: this.frames.length - 1, step: 1,
      });
      this.output = element("output", { className: "rn-player-value" });
      this.output.setAttribute("for", id);
      this.back = this.button("‹", TEXT.previous, () => this.show(this.index - 1, true));
      this.forth = this.button("›", TEXT.next, () => this.show(this.index + 1, true));
      this.reset = this.button(TEXT.reset, TEXT.reset, () => this.show(this.start, true));
      this.reset.classList.add("rn-player-reset");
      this.range.addEventListener("input", () => this.show(Number(this.range.value), true));
      bar.append(label, this.back, this.range, this.forth, this.output, this.reset);
      this.frames[this.frames.length - 1].after(bar);
    }

    button(text, name, action) {
      const button = element("button", { type: "button", textContent: text });
      button.setAttribute("aria-label", `${name}, ${this.label}`);
      button.addEventListener("click", action);
      return button;
    }

    clamp(index) {
      return Math.min(Math.max(index, 0), this.frames.length - 1);
    }

    fromHash(first) {
      const wanted = readHash().get(this.key);
      const index = this.values.indexOf(wanted);
      if (index >= 0 && first) this.scrollIntoView({ block: "center" });
      if (index >= 0 || first) this.show(index >= 0 ? index : this.start, false);
    }

    show(index, byReader) {
      this.index = this.clamp(index);
      this.frames.forEach((frame, i) => { frame.hidden = i !== this.index; });
      const value = this.values[this.index];
      this.range.value = this.index;
      this.range.setAttribute("aria-valuetext", `${this.label} ${value}`);
      this.output.textContent = value;
      // aria-disabled, not disabled: a button that loses the focus while it is pressed is a trap.
      this.back.setAttribute("aria-disabled", this.index === 0);
      this.forth.setAttribute("aria-disabled", this.index === this.frames.length - 1);
      this.reset.setAttribute("aria-disabled", this.index === this.start);
      if (byReader) writeHash(this.key, this.index === this.start ? null : value);
    }
  }

  globalThis.FramePlayer = FramePlayer;
  define("frame-player", FramePlayer);
})();
