/* <residual-playground preset="…">: a plain and a residual net with the same initial weights, trained side by side in
   the page: controls, the address, the loss curves and the tables.  Content of the element is what readers without
   scripts get.  Classic script: one name on globalThis.  needs: page, presets, pair, stage */
(function () {
  "use strict";

  const Presets = globalThis.PlaygroundPresets;
  const { PRESETS, CHOICES, NUMBERS, START } = Presets;
  const { drawLosses } = globalThis.PlaygroundDrawing;
  const { element, drawn, table, readHash, writeHash, keyOf, BookElement, define } = globalThis.BookPage;

  const TEXT = {
    controls: "Training",
    preset: "Experiment",
    run: "Run",
    notYet: "Training loss against steps: nothing has been trained yet.",
    pause: "Pause",
    step: "Step",
    reset: "Reset",
    more: "More: depth, data, normalization, initial weights, optimizer",
    restore: "Back to the experiment's settings",
    names: { identity: "residual", half: "halved skip", linear: "learned skip", none: "plain, again" },
    plain: "plain",
    layers: (blocks) => `${2 * blocks + 2} layers with weights: ${blocks} ${blocks === 1 ? "block" : "blocks"} of two, one before, one after`,
    state: (step, sides) => `step ${step} · ${sides.map(([name, loss]) => `${name} ${loss}`).join(" · ")}`,
    loss: "training loss",
    steps: "steps",
    chart: (sides) => `Training loss against steps, logarithmic. ${sides.map(([name, first, last]) => `${name}: ${first} at the start, ${last} now`).join("; ")}.`,
    table: "Data table",
    tableCaption: (step) => `Per layer, after ${step} step${step === 1 ? "" : "s"}`,
    tableHead: (names) => ["layer", ...names.flatMap((n) => [`${n}: ‖∂L/∂W1‖`, `${n}: ‖∂L/∂W2‖`, `${n}: spread`, `${n}: 1 − cosine`])],
    lossCaption: "Training loss",
    lossHead: (names) => ["step", ...names],
    first: "first layer",
    last: "last layer",
    no: "–",
  };
  const COLORS = { plain: "--rn-plain", identity: "--rn-residual", half: "--rn-green", linear: "--rn-purple", none: "--rn-plain" };

  const short = (x) => (x === undefined || x === null || Number.isNaN(x) ? TEXT.no : x === 0 ? "0"
    : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(1).replace("e+", "e") : x.toPrecision(3));
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  class ResidualPlayground extends BookElement {
    build() {
      this.key = keyOf(this, "playground");
      this.pair = new globalThis.PlaygroundPair({
        draw: (finished) => this.draw(finished),
        say: (words) => { this.status.textContent = capital(words); },
        showRunning: (running) => {
          this.runButton.textContent = running ? TEXT.pause : TEXT.run;
          this.stepButton.setAttribute("aria-disabled", running);
        },
        short,
      });
      this.parts = []; // of a drawing, not drawn yet
      this.replaceChildren();
      this.status = element("p", { className: "rn-play-status" });
      this.status.setAttribute("role", "status");
      this.output = element("p", { className: "rn-play-state" });
      this.layers = element("p", { className: "rn-play-layers" });
      this.chart = drawn("svg", { class: "rn-play-chart", role: "img", "aria-label": TEXT.notYet });
      this.seen = element("p", { className: "rn-caption" });
      this.ask = element("p", { className: "rn-caption" });
      this.tables = element("div");
      this.data = element("details", { className: "rn-data" }, element("summary", { textContent: TEXT.table }), this.tables);
      this.data.addEventListener("toggle", () => this.tabulate());
      this.place = element("div", { className: "rn-play-stage" });
      this.append(this.controls(), this.output, this.place, this.chart, this.status, this.seen, this.ask, this.layers, this.data);
      if (readHash().get(this.key) !== null) this.begin();
      else {
        // nothing is trained before the reader comes near
        const near = new IntersectionObserver((entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          near.disconnect();
          this.begin();
        }, { rootMargin: "600px" });
        near.observe(this);
      }
    }

    /* Once: when the reader comes near, or touches a control from afar, as a keyboard or a screen reader may. */
    begin() {
      if (this.begun) return;
      this.begun = true;
      this.home = Presets.unpack(this.getAttribute("preset") || Object.keys(PRESETS)[0]); // shown without a key
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
      const redraw = () => this.draw(true);
      new ResizeObserver(redraw).observe(this.chart);
      new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    }

    /* ---- controls */

    controls() {
      const begun = (action) => () => { this.begin(); action(); };
      const button = (name, action, style = "") => {
        const made = element("button", { type: "button", textContent: TEXT[name], className: style });
        made.addEventListener("click", begun(action));
        return made;
      };
      this.runButton = button("run", () => this.pair.toggleRun(), "rn-play-run");
      this.stepButton = button("step", () => this.pair.stepOnce());
      this.resetButton = button("reset", () => this.pair.restart());
      this.presetSelect = element("select", { id: `${this.key}-preset` });
      this.presetSelect.append(...Object.entries(PRESETS).map(([value, { title }]) => element("option", { value, textContent: title })));
      this.presetSelect.addEventListener("change", () => {
        const { value } = this.presetSelect;  // before begin, which sets it
        this.begin();
        this.choose(value, Presets.settingOf(value));
      });
      const bar = element("div", { className: "rn-play-bar" }, this.runButton, this.stepButton, this.resetButton,
        element("label", { htmlFor: this.presetSelect.id, textContent: TEXT.preset }), this.presetSelect);
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", TEXT.controls);
      this.fields = {};
      const more = element("div", { className: "rn-play-more" });
      for (const key of Object.keys(START)) {
        const id = `${this.key}-${key}`;
        const field = key in CHOICES ? element("select", { id }) : element("input", { id, type: "number", step: key === "rate" ? "any" : 1,
          min: NUMBERS[key][0], max: NUMBERS[key][1] });
        if (key in CHOICES) {
          field.append(...CHOICES[key].map((value) => element("option", { value, textContent: Presets.TEXT.choices[key]?.[value] ?? value })));
        }
        field.addEventListener("change", () => {
          const { value } = field;
          this.begin();
          this.change(key, value);
        });
        this.fields[key] = field;
        more.append(element("label", { htmlFor: id, textContent: Presets.TEXT.labels[key] }), field);
      }
      this.restoreButton = button("restore", () => this.choose(this.preset, Presets.settingOf(this.preset)));
      more.append(this.restoreButton);
      return element("div", { className: "rn-play-controls" }, bar,
        element("details", {}, element("summary", { textContent: TEXT.more }), more));
    }

    fromHash(first) {
      const text = readHash().get(this.key);
      if (text === null && !first) return;
      const { preset, setting, words } = text === null ? this.home : Presets.unpack(text);
      if (first && text !== null) this.scrollIntoView({ block: "start" });
      this.use(preset, setting, words.join(" "));
    }

    choose(preset, setting, words = "") {
      const packed = Presets.pack(preset, setting);
      writeHash(this.key, packed === Presets.pack(this.home.preset, this.home.setting) ? null : packed);
      this.use(preset, setting, words);
    }

    change(key, raw) {
      const { value, word } = Presets.accept(key, raw, this.setting[key]);
      this.choose(this.preset, { ...this.setting, [key]: value }, word || "");
    }

    use(preset, setting, words) {
      this.presetSelect.value = preset;
      for (const [key, field] of Object.entries(this.fields)) field.value = setting[key];
      const packed = Presets.pack(preset, setting);
      if (packed === this.packed) { // nothing changes: what has been trained stays
        if (words) this.pair.say(words);
        return;
      }
      Object.assign(this, { preset, setting, packed });
      this.own = packed !== preset;
      this.restoreButton.setAttribute("aria-disabled", !this.own);
      this.seen.textContent = this.own ? capital(`${Presets.TEXT.own}.`) : PRESETS[preset].seen;
      this.ask.textContent = PRESETS[preset].ask;
      this.layers.textContent = `${TEXT.layers(setting.blocks)}.`;
      this.names = [TEXT.plain, TEXT.names[setting.skip]];
      this.colors = [COLORS.plain, COLORS[setting.skip]];
      this.points = globalThis.PlaygroundPoints.makeData(setting.data);
      this.stage = new globalThis.PlaygroundStage(this.place, { names: this.names, colors: this.colors, blocks: setting.blocks,
        toggle: (index, l) => this.pair.toggle(index, l), short });
      // A first look that shows something: some steps, then it waits for the reader.
      this.pair.begin([0, 1].map((index) => Presets.specOf(setting, index)), this.names, words, PRESETS[preset].first);
    }

    /* ---- drawing */

    /* Asks for a drawing.  finished: the words too, which a screen reader need not hear ten times a second. */
    draw(finished) {
      this.asked = { words: finished || Boolean(this.asked?.words) };
      if (!this.frame) this.frame = requestAnimationFrame(() => this.drawPart());
    }

    /* One part in each frame, so that no task is long; what is asked for meanwhile begins after the last part. */
    drawPart() {
      if (!this.parts.length) {
        const { sides } = this.pair, { words } = this.asked;
        this.asked = null;
        this.parts = [() => this.drawCurves(sides), ...sides.map((side) => () => this.stage.draw(side, this.points, words))];
        if (words) this.parts.push(() => this.describe(sides));
      }
      this.parts.shift()();
      this.frame = this.parts.length || this.asked ? requestAnimationFrame(() => this.drawPart()) : null;
    }

    drawCurves(sides) {
      this.output.textContent = TEXT.state(this.pair.step(), sides.map((side, k) => [this.names[k], short(side.loss)]));
      drawLosses(this.chart, sides.map(({ losses }, k) => ({ name: this.names[k], color: this.colors[k], dash: k ? "none" : "7 3", losses })), TEXT);
    }

    describe(sides) {
      this.chart.setAttribute("aria-label", TEXT.chart(sides.map((side, k) => [this.names[k], short(side.losses[0]), short(side.loss)])));
      this.tabulate();
    }

    tabulate() {
      if (!this.data.open) return;
      const { sides } = this.pair, now = this.pair.step();
      if (sides.some((side) => !side.statistics && side.broken === null)) return;
      const cells = (numbers) => sides.flatMap(({ statistics: s }) => (s ? numbers(s) : Array(4).fill(null)).map(short));
      const rows = [[TEXT.first, ...cells((s) => [s.stem, null, s.spread[0], s.angle[0]])]];
      for (let l = 0; l < this.setting.blocks; l++) {
        rows.push([String(l + 1), ...cells((s) => [s.gradient1[l], s.gradient2[l], s.spread[l + 1], s.angle[l + 1]])]);
      }
      rows.push([TEXT.last, ...cells((s) => [s.head, null, null, null])]);
      const marks = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, PRESETS[this.preset].after, now];
      const steps = [...new Set(marks)].filter((step) => step <= now).sort((a, b) => a - b);
      this.tables.replaceChildren(
        table(TEXT.lossCaption, TEXT.lossHead(this.names), steps.map((step) => [String(step), ...sides.map((side) => short(side.losses[step]))])),
        table(TEXT.tableCaption(now), TEXT.tableHead(this.names), rows));
    }
  }

  globalThis.ResidualPlayground = ResidualPlayground;
  define("residual-playground", ResidualPlayground);
})();
