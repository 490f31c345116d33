/* <residual-playground preset="…">: a plain and a residual net with the same initial weights, trained side by side in
   the page, each in its own worker.  The page sends both the same number of steps, waits for both answers, draws, and
   sends the next; so the nets keep step, and the page is never flooded.  Content of the element is what readers
   without scripts get.  Classic script: one name on globalThis.  needs: page, presets, trainer, drawing */
(function () {
  "use strict";

  const Presets = globalThis.PlaygroundPresets;
  const { PRESETS, CHOICES, NUMBERS, START } = Presets;
  const { drawSurface, drawLosses, heightOf, exponent, LOW, HIGH } = globalThis.PlaygroundDrawing;
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
    surface: (name, step, right, n) => (right === null ? `The curve that the ${name} net computes after ${step} steps, and ${n} points.`
      : `What the ${name} net computes after ${step} steps, and ${n} points of two classes; ${right} are on their own side.`),
    rows: ["gradient ‖∂L/∂W‖", "spread over the points", "1 − cosine similarity"],
    row: (name, what) => `${name}: ${what}`,
    axis: (blocks) => (blocks > 1 ? ["block 1", String(blocks)] : ["block 1"]),
    blocks: (name) => `Blocks of the ${name} net: arrow keys move, Enter removes a block or puts it back`,
    block: (l, values) => `block ${l}: gradient ${values[0]}, spread ${values[1]}, 1 − cosine ${values[2]}`,
    gone: (l) => `block ${l}: removed`,
    removed: (name, l, before, after) => `${name} net without block ${l}: loss ${before} → ${after}.`,
    back: (name, l, before, after) => `${name} net with block ${l} again: loss ${before} → ${after}.`,
    broken: (name, step) => `${name} net: the loss is no number any more since step ${step} (overflow). It is stopped; the other goes on.`,
    finished: (most) => `Stopped at ${most} steps. Reset begins again.`,
    died: (name, reason) => `The worker of the ${name} net stopped (${reason}). It was restarted; both nets begin again at step 0.`,
    gaveUp: (reason) => `The workers do not start in this browser (${reason}), so nothing can be trained here.`,
    table: "Data table",
    tableCaption: (step) => `Per layer, after ${step} steps`,
    tableHead: (names) => ["layer", ...names.flatMap((n) => [`${n}: ‖∂L/∂W1‖`, `${n}: ‖∂L/∂W2‖`, `${n}: spread`, `${n}: 1 − cosine`])],
    lossCaption: "Training loss",
    lossHead: (names) => ["step", ...names],
    first: "first layer",
    last: "last layer",
    no: "–",
  };
  const MOST = 20000; // steps after which a run ends
  const PATIENCE = 20000; // milliseconds without an answer after which a worker counts as dead
  const RESTARTS = 3;
  const COLORS = { plain: "--rn-plain", identity: "--rn-residual", half: "--rn-green", linear: "--rn-purple", none: "--rn-plain" };

  const short = (x) => (x === undefined || x === null || Number.isNaN(x) ? TEXT.no : x === 0 ? "0"
    : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(1).replace("e+", "e") : x.toPrecision(3));
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  class ResidualPlayground extends BookElement {
    build() {
      this.key = keyOf(this, "playground");
      this.restarts = 0;
      this.patience = PATIENCE;
      this.sides = [0, 1].map((k) => new globalThis.PlaygroundTrainer(k, (side, broke) => this.answered(side, broke), (side, why) => this.died(side, why)));
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
      this.stage = element("div", { className: "rn-play-stage" });
      this.append(this.controls(), this.output, this.stage, this.chart, this.status, this.seen, this.ask, this.layers, this.data);
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

    begin() {
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
      const redraw = () => requestAnimationFrame(() => this.draw(true));
      new ResizeObserver(redraw).observe(this.chart);
      new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    }

    /* ---- controls */

    controls() {
      const button = (name, action, style = "") => {
        const made = element("button", { type: "button", textContent: TEXT[name], className: style });
        made.addEventListener("click", action);
        return made;
      };
      this.runButton = button("run", () => this.toggleRun(), "rn-play-run");
      this.stepButton = button("step", () => this.stepOnce());
      this.resetButton = button("reset", () => this.restart());
      this.presetSelect = element("select", { id: `${this.key}-preset` });
      this.presetSelect.append(...Object.entries(PRESETS).map(([value, { title }]) => element("option", { value, textContent: title })));
      this.presetSelect.addEventListener("change", () => this.choose(this.presetSelect.value, Presets.settingOf(this.presetSelect.value)));
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
        field.addEventListener("change", () => this.change(key, field.value));
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
      const { preset, setting, words } = Presets.unpack(text ?? (this.getAttribute("preset") || Object.keys(PRESETS)[0]));
      if (first) this.home = preset;
      if (first && text !== null) this.scrollIntoView({ block: "start" });
      this.use(preset, setting, words.join(" "));
    }

    choose(preset, setting, words = "") {
      const packed = Presets.pack(preset, setting);
      writeHash(this.key, packed === this.home ? null : packed);
      this.use(preset, setting, words);
    }

    change(key, raw) {
      const { value, word } = Presets.accept(key, raw, this.setting[key]);
      this.choose(this.preset, { ...this.setting, [key]: value }, word || "");
    }

    use(preset, setting, words) {
      Object.assign(this, { preset, setting });
      this.presetSelect.value = preset;
      for (const [key, field] of Object.entries(this.fields)) field.value = setting[key];
      this.own = Presets.pack(preset, setting) !== preset;
      this.restoreButton.setAttribute("aria-disabled", !this.own);
      this.seen.textContent = this.own ? capital(`${Presets.TEXT.own}.`) : PRESETS[preset].seen;
      this.ask.textContent = PRESETS[preset].ask;
      this.layers.textContent = `${TEXT.layers(setting.blocks)}.`;
      this.names = [TEXT.plain, TEXT.names[setting.skip]];
      this.colors = [COLORS.plain, COLORS[setting.skip]];
      this.points = globalThis.PlaygroundPoints.makeData(setting.data);
      this.buildStage();
      this.restart(words);
      // A first look that shows something: some steps, then it waits for the reader.
      this.goal = PRESETS[preset].first;
    }

    /* ---- training */

    restart(words = "") {
      if (this.dead) return;
      this.running = false;
      this.goal = 0;
      this.status.textContent = words;
      this.size = 4;
      this.looked = 0;
      for (const side of this.sides) side.surface = null;
      for (const side of this.sides) side.start(Presets.specOf(this.setting, side.index), this.patience);
      this.showRunning();
    }

    toggleRun() {
      if (this.dead) return;
      this.running = !this.running;
      this.goal = 0;
      this.showRunning();
      this.next();
    }

    stepOnce() {
      if (this.running || this.dead) return;
      this.goal = this.step() + 1;
      this.next();
    }

    showRunning() {
      this.runButton.textContent = this.running ? TEXT.pause : TEXT.run;
      this.stepButton.setAttribute("aria-disabled", this.running);
    }

    step() {
      return Math.max(...this.sides.filter((side) => side.broken === null).map((side) => side.step), 0);
    }

    /* Sends the next steps when both nets have answered. */
    next() {
      const well = this.sides.filter((side) => side.broken === null);
      if (this.dead || this.sides.some((side) => side.waiting)) return;
      const step = this.step(), limit = this.running ? MOST : this.goal;
      if (!well.length || step >= limit) {
        if (this.running && step >= MOST) this.status.textContent = TEXT.finished(MOST);
        if (this.running) {
          this.running = false;
          this.showRunning();
        }
        this.draw(true);
        return;
      }
      const slowest = Math.max(...well.map((side) => side.milliseconds), 1);
      this.size = Math.min(Math.max(Math.round(this.size * 40 / slowest), 1), 100, limit - step);
      const surface = step + this.size >= limit || performance.now() - this.looked > 250;
      if (surface) this.looked = performance.now();
      for (const side of well) side.send({ steps: this.size, surface });
    }

    answered(side, broke) {
      if (broke) this.status.textContent = capital(TEXT.broken(this.names[side.index], side.broken));
      if (side.then) {
        side.then();
        side.then = null;
      }
      if (this.sides.some((s) => s.waiting)) return;
      // Ten drawings a second are enough, and leave the page free for its reader.
      if (performance.now() - (this.drawnAt || 0) < 100) this.next();
      else requestAnimationFrame(() => {
        this.draw(false);
        this.next();
      });
    }

    died(side, reason) {
      if (this.dead) return;
      const name = this.names[side.index];
      for (const each of this.sides) each.stop();
      this.restarts += 1;
      this.dead = this.restarts > RESTARTS;
      if (this.dead) this.status.textContent = TEXT.gaveUp(reason);
      else this.restart(TEXT.died(name, reason));
    }

    remove(index, l) {
      const side = this.sides[index];
      if (this.dead || side.broken !== null) return;
      if (side.waiting) { // at once after the answer that is on its way
        if (!side.then) side.then = () => this.remove(index, l);
        return;
      }
      const before = side.loss;
      side.then = () => {
        const words = side.removed[l] ? TEXT.removed : TEXT.back;
        this.status.textContent = capital(words(this.names[index], l + 1, short(before), short(side.loss)));
        this.draw(true);
      };
      side.send({ toggle: l, surface: true });
    }

    /* ---- drawing */

    buildStage() {
      this.views = this.sides.map((side, index) => {
        const canvas = element("canvas", { className: "rn-play-canvas" });
        canvas.setAttribute("role", "img");
        const bars = element("div", { className: "rn-play-bars" });
        bars.setAttribute("role", "group");
        bars.setAttribute("aria-label", TEXT.blocks(this.names[index]));
        const columns = Array.from({ length: this.setting.blocks }, (_, l) => {
          const parts = TEXT.rows.map(() => element("i"));
          const column = element("button", { type: "button", tabIndex: l ? -1 : 0 }, ...parts.map((part) => element("span", {}, part)));
          column.addEventListener("click", () => this.remove(index, l));
          column.addEventListener("keydown", (event) => this.move(event, columns, l));
          return Object.assign(column, { parts });
        });
        bars.append(...columns);
        const scale = element("div", { className: "rn-play-scale" }, ...TEXT.rows.map((name) => {
          const row = element("div", {}, element("b", { textContent: TEXT.row(this.names[index], name) }));
          for (const power of [HIGH, 0, -4, LOW]) {
            const tick = element("small", { textContent: exponent(power) });
            tick.style.bottom = `${heightOf(10 ** power)}%`;
            row.append(tick);
          }
          return row;
        }));
        const axis = element("div", { className: "rn-play-axis" },
          ...TEXT.axis(this.setting.blocks).map((textContent) => element("span", { textContent })));
        const net = element("section", { className: "rn-play-net" },
          element("div", {}, element("p", { className: "rn-play-title", textContent: this.names[index] }), canvas),
          element("div", { className: "rn-play-frame" }, scale, bars, axis));
        net.style.setProperty("--rn-net", `var(${this.colors[index]})`);
        return { canvas, columns, net };
      });
      this.stage.replaceChildren(...this.views.map((view) => view.net));
    }

    move(event, columns, l) {
      const to = { ArrowRight: l + 1, ArrowLeft: l - 1, Home: 0, End: columns.length - 1 }[event.key];
      if (to === undefined || !columns[to]) return;
      event.preventDefault();
      columns[l].tabIndex = -1;
      columns[to].tabIndex = 0;
      columns[to].focus();
    }

    /* finished: the words too, which a screen reader need not hear ten times a second. */
    draw(finished) {
      this.drawnAt = performance.now();
      const state = this.sides.map((side) => [this.names[side.index], short(side.loss)]);
      this.output.textContent = TEXT.state(this.step(), state);
      drawLosses(this.chart, this.sides.map((side, k) => ({ name: this.names[k], color: this.colors[k], dash: k ? "none" : "7 3", losses: side.losses })), TEXT);
      this.sides.forEach((side, k) => this.drawNet(side, this.views[k], finished));
      if (!finished) return;
      this.chart.setAttribute("aria-label", TEXT.chart(this.sides.map((side, k) => [this.names[k], short(side.losses[0]), short(side.loss)])));
      this.tabulate();
    }

    drawNet(side, { canvas, columns }, finished) {
      const name = this.names[side.index];
      if (finished || side.fresh) drawSurface(canvas, this.points, side.surface, this.colors[side.index]);
      side.fresh = false;
      if (finished) canvas.setAttribute("aria-label", TEXT.surface(name, side.step, side.statistics?.right ?? null, this.points.n));
      columns.forEach((column, l) => {
        const gone = Boolean(side.removed[l]), values = side.values(l);
        column.parts.forEach((part, row) => { part.style.transform = `scaleY(${gone ? 0 : heightOf(values[row]) / 100})`; });
        if (!finished) return;
        column.setAttribute("aria-pressed", gone);
        column.title = gone ? TEXT.gone(l + 1) : TEXT.block(l + 1, values.map(short));
        column.setAttribute("aria-label", column.title);
      });
    }

    tabulate() {
      if (!this.data.open) return;
      const found = this.sides.map((side) => side.statistics);
      if (found.some((s) => !s)) return;
      const rows = [[TEXT.first, ...found.flatMap((s) => [short(s.stem), TEXT.no, short(s.spread[0]), short(s.angle[0])])]];
      for (let l = 0; l < this.setting.blocks; l++) {
        rows.push([String(l + 1), ...found.flatMap((s) => [s.gradient1[l], s.gradient2[l], s.spread[l + 1], s.angle[l + 1]].map(short))]);
      }
      rows.push([TEXT.last, ...found.flatMap((s) => [short(s.head), TEXT.no, TEXT.no, TEXT.no])]);
      const marks = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, PRESETS[this.preset].after, this.step()];
      const steps = [...new Set(marks)].filter((step) => step <= this.step()).sort((a, b) => a - b);
      this.tables.replaceChildren(
        table(TEXT.lossCaption, TEXT.lossHead(this.names), steps.map((step) => [String(step), ...this.sides.map((side) => short(side.losses[step]))])),
        table(TEXT.tableCaption(this.step()), TEXT.tableHead(this.names), rows));
    }
  }

  globalThis.ResidualPlayground = ResidualPlayground;
  define("residual-playground", ResidualPlayground);
})();
