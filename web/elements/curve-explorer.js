/* <curve-explorer>: recorded runs, mean and standard deviation over seeds, switched on and off and read at any step.

   Light DOM: a <script type="application/json"> (resnet_lib/widgets/explore.py says what is in it), a <figure
   class="rn-curves-still"> and a table in <details class="rn-data"> for readers without scripts, and a caption.
   Numbers are those of the data: nothing is computed here but places.  A null is a number that was not finite.
   Classic script: name on globalThis.  needs: page, scales, curvechart */
(function () {
  "use strict";

  const TEXT = {
    variants: "Variants",
    curves: "Curves",
    all: "All",
    none: "None",
    reset: "Reset",
    logarithmic: "logarithmic",
    dashed: (name, train) => `${name} (${train ? "dashed" : "solid"})`,
    more: "More: seeds, measure",
    runs: "Runs",
    measure: "Measure",
    measures: { percent: "error", number: "loss" },
    mean: "mean ± one standard deviation",
    single: "single runs",
    seed: (seed) => `seed ${seed} alone`,
    stopped: (name) => `${name} (stopped)`,
    read: "Read at step",
    readout: (step) => `At step ${step}`,
    variant: "variant",
    runsHead: "runs",
    published: "published",
    lost: (lost, n) => `${lost} of ${n} not finite`,
    diverged: (n, list) => `${n}; ✕ ${list}`,
    divergedRun: (seed, step) => `seed ${seed} from ${step}`,
    none_yet: "–",
    at: (text, step) => `${text} (step ${step})`,
    spoken: (step, parts) => `step ${step}: ${parts || "the numbers are in the table below"}`,
    tryThis: "Try this: leave two variants on and move along the steps. Where do their bands part, and do they stay apart?",
    signs: {
      below: "▿ zero, which lies below a logarithmic axis.",
      cross: "✕ from here on the run's numbers are not finite; an error beyond it counts what such a net puts out.",
      square: "□ the run was stopped here.",
      circle: "○ published.",
    },
    table: "Data table",
    tableCaption: (runs) => `All rows of the variants shown: ${runs}`,
    step: "step",
    unknown: (what) => `The address asks for ${what}, which is not to be had here; the rest is shown.`,
  };

  const { element, table, readHash, writeHash, keyOf, BookElement, define } = globalThis.BookPage;
  const { percent, percentDigits, grouped, significant, withSpread } = globalThis.BookScales;
  const { COLORS, placeAt, chosenRuns, on, publishedOn, swatch } = globalThis.CurveChart;

  const number = (value, isPercent) => (isPercent ? percent(value) : significant(value));

  /* What one variant's series says at a step, under a choice of runs: "mean", "single" or a seed. */
  function said(variant, field, steps, step, runs) {
    const series = variant.series[field.field];
    if (!series) return TEXT.none_yet;
    const at = steps[series.at], k = placeAt(at, step);
    if (k < 0) return TEXT.none_yet;
    const chosen = chosenRuns(variant, series, runs).map((run) => run[k]);
    if (!chosen.length) return TEXT.none_yet;
    const finite = chosen.filter((v) => v !== null), lost = chosen.length - finite.length;
    const unit = field.percent ? " %" : "";
    let text;
    if (runs === "mean" && lost) text = TEXT.lost(lost, chosen.length);
    else if (runs === "mean") {
      const mean = series.mean[k], std = series.std[k];
      if (std === null) text = number(mean, field.percent);
      else if (!field.percent) text = withSpread(mean, std);
      else text = `${percent(mean)} ± ${percent(std, percentDigits(mean))}`;
      text += unit;
    } else text = chosen.map((v) => (v === null ? "✕" : number(v, field.percent))).join(", ") + unit;
    return at[k] === step ? text : TEXT.at(text, grouped(at[k]));
  }

  class CurveExplorer extends BookElement {
    build() {
      const source = this.querySelector('script[type="application/json"]');
      if (!source) return;
      this.data = JSON.parse(source.textContent);
      const { variants, fields, steps, shown } = this.data;
      this.chart = new CurveChart(this.data);
      this.stops = [...new Set(steps.flat())].sort((a, b) => a - b);
      this.seeds = [...new Set(variants.flatMap((v) => v.seeds))].sort((a, b) => a - b);
      this.measures = [...new Set(fields.map((f) => (f.percent ? "percent" : "number")))];
      this.start = { shown: variants.map((v) => v.name).filter((n) => shown.includes(n)), fields: this.data.drawn,
        measure: this.measures[0], runs: "mean", log: false, step: this.stops[this.stops.length - 1] };
      this.key = keyOf(this, "curves");
      this.querySelectorAll(".rn-curves-still").forEach((still) => { still.hidden = true; });
      this.readout = element("div", { className: "rn-curves-readout" });
      this.signs = element("p", { className: "rn-curves-signs" });
      this.note = element("p", { className: "rn-curves-note" });
      this.note.setAttribute("role", "status");
      this.prepend(element("div", { className: "rn-curves" }, this.legend(), this.bar(), this.chart.chart, this.signs, this.reader(),
        this.readout, this.folded(), this.note,
        element("p", { className: "rn-caption rn-curves-try", textContent: this.data.tryThis || TEXT.tryThis })));
      this.takeTable();
      this.point();
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
      new ResizeObserver(() => this.draw()).observe(this.chart.chart);
    }

    /* --- controls */

    check(label, checked, more = []) {
      const input = element("input", { type: "checkbox" });
      input.addEventListener("change", () => checked(input.checked));
      return [input, element("label", {}, input, ...more, element("span", { textContent: label }))];
    }

    button(text, act) {
      const made = element("button", { type: "button", textContent: text });
      made.addEventListener("click", act);
      return made;
    }

    legend() {
      const { variants } = this.data;
      this.chips = variants.map((v, k) => {
        const [input, label] = this.check(v.stopped ? TEXT.stopped(v.name) : v.name, (on) => this.toggle("shown", v.name, on),
          [swatch(this.chart.looks[k])]);
        for (const [event, on] of [["pointerenter", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) {
          label.addEventListener(event, () => this.chart.highlight(on ? k : null));
        }
        return { input, label };
      });
      const rows = COLORS.map((color) => element("div", {}, ...this.chips.filter((_, k) => this.chart.looks[k].kind === color)
        .map((chip) => chip.label))).filter((row) => row.childElementCount);
      const names = variants.map((v) => v.name);
      rows[rows.length - 1].append(element("span", {}, this.button(TEXT.all, () => this.change({ shown: names })),
        this.button(TEXT.none, () => this.change({ shown: [] }))));
      return element("fieldset", { className: "rn-curves-legend" }, element("legend", { textContent: TEXT.variants }), ...rows);
    }

    bar() {
      this.checks = this.data.fields.map((f) => {
        const [input, label] = this.check(TEXT.dashed(f.name, f.train), (on) => this.toggle("fields", f.field, on));
        return { field: f, input, label };
      });
      const [log, logLabel] = this.check(TEXT.logarithmic, (on) => this.change({ log: on }));
      this.log = log;
      this.resetButton = this.button(TEXT.reset, () => this.change(this.start));
      const group = element("div", { className: "rn-curves-bar" }, ...this.checks.map((c) => c.label), logLabel, this.resetButton);
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", TEXT.curves);
      return group;
    }

    reader() {
      this.range = element("input", { type: "range", min: 0, max: this.stops.length - 1, step: 1, id: `${this.key}-step` });
      this.range.addEventListener("input", () => this.show({ ...this.state, step: this.stops[this.range.value] }));
      this.range.addEventListener("change", () => this.change({}));
      this.output = element("output", { htmlFor: this.range.id });
      return element("div", { className: "rn-curves-step" },
        element("label", { htmlFor: this.range.id, textContent: TEXT.read }), this.range, this.output);
    }

    select(name, label, options) {
      const select = element("select", { id: `${this.key}-${name}` },
        ...options.map(([value, text]) => element("option", { value, textContent: text })));
      select.addEventListener("change", () => this.change({ [name]: select.value }));
      return [select, element("label", { htmlFor: select.id, textContent: label }), select];
    }

    folded() {
      const [runs, ...runsParts] = this.select("runs", TEXT.runs, [["mean", TEXT.mean], ["single", TEXT.single],
        ...this.seeds.map((s) => [String(s), TEXT.seed(s)])]);
      const [measure, ...measureParts] = this.select("measure", TEXT.measure, this.measures.map((m) => [m, TEXT.measures[m]]));
      this.selects = { runs, measure };
      const grid = element("div", { className: "rn-curves-more" }, ...runsParts, ...(this.measures.length > 1 ? measureParts : []));
      return element("details", { className: "rn-curves-fold" }, element("summary", { textContent: TEXT.more }), grid);
    }

    takeTable() {
      this.details = this.querySelector("details.rn-data");
      this.details.querySelectorAll("table").forEach((still) => still.remove());
      this.details.addEventListener("toggle", () => this.fillTable());
    }

    /* --- state */

    pack(s) {
      return [s.shown.join(" "), s.fields.join(" "), s.measure, s.runs, s.log ? "log" : "linear", s.step].join(",");
    }

    unpack(text) {
      const { variants, fields } = this.data, refused = [];
      const [shown = "", chosen = "", measure, runs, log, step] = text.split(",");
      const known = (list, all) => {
        refused.push(...list.filter((n) => !all.includes(n)));
        return all.filter((n) => list.includes(n));
      };
      const one = (value, all, other) => (all.includes(value) ? value : (refused.push(value || "…"), other));
      const words = (list) => list.split(" ").filter(Boolean);
      const number = Number(step), usable = step && Number.isFinite(number);
      if (!usable) refused.push(step || "…");
      const nearest = (s) => this.stops.reduce((a, b) => (Math.abs(b - s) < Math.abs(a - s) ? b : a));
      const state = {
        shown: known(words(shown), variants.map((v) => v.name)), fields: known(words(chosen), fields.map((f) => f.field)),
        measure: one(measure, this.measures, this.start.measure), runs: one(runs, ["mean", "single", ...this.seeds.map(String)], "mean"),
        log: one(log, ["log", "linear"], "linear") === "log", step: usable ? nearest(number) : this.start.step,
      };
      return [state, refused.map((word) => word.slice(0, 40))];
    }

    fromHash(first) {
      const text = readHash().get(this.key);
      if (text === null) {
        if (first) this.show(this.start);
        return;
      }
      if (first) this.scrollIntoView({ block: "center" });
      const [state, refused] = this.unpack(text);
      this.show(state);
      this.note.textContent = refused.length ? TEXT.unknown(refused.slice(0, 3).join(", ")) : "";
    }

    change(part) {
      this.note.textContent = "";
      this.show({ ...this.state, ...part });
      const packed = this.pack(this.state);
      writeHash(this.key, packed === this.pack(this.start) ? null : packed);
    }

    toggle(list, name, on) {
      const order = list === "shown" ? this.data.variants.map((v) => v.name) : this.data.fields.map((f) => f.field);
      this.change({ [list]: order.filter((n) => (n === name ? on : this.state[list].includes(n))) });
    }

    show(state) {
      const onlyStep = this.state && this.pack({ ...this.state, step: 0 }) === this.pack({ ...state, step: 0 });
      this.state = state;
      this.chips.forEach((chip, k) => { chip.input.checked = state.shown.includes(this.data.variants[k].name); });
      for (const { field, input, label } of this.checks) {
        input.checked = state.fields.includes(field.field);
        label.hidden = (field.percent ? "percent" : "number") !== state.measure;
      }
      this.log.checked = state.log;
      for (const [name, select] of Object.entries(this.selects)) select.value = state[name];
      this.resetButton.setAttribute("aria-disabled", this.pack(state) === this.pack(this.start));
      if (!onlyStep) {
        this.draw();
        this.fillTable();
      }
      this.read();
    }

    /* --- the numbers at a step */

    read() {
      const { step, runs } = this.state, { variants, fields } = on(this.data, this.state);
      const published = publishedOn(this.data, this.state);
      const cells = variants.map(({ v }) => [v.name, ...fields.map((f) => said(v, f, this.data.steps, step, runs)),
        this.runsWord(v, step), ...(published.length ? [publishedWord(v, published)] : [])]);
      const words = cells.map(([name, ...rest]) => `${name} ${rest.slice(0, fields.length).join(" and ")}`);
      this.range.value = this.stops.indexOf(step);
      this.range.setAttribute("aria-valuetext", TEXT.spoken(grouped(step), words.length <= 4 ? words.join("; ") : ""));
      this.output.textContent = grouped(step);
      this.readout.replaceChildren(table(TEXT.readout(grouped(step)), [TEXT.variant, ...fields.map((f) => f.name), TEXT.runsHead,
        ...(published.length ? [TEXT.published] : [])], cells));
      this.chart.cross(step);
    }

    runsWord(v, step) {
      const lost = v.seeds.map((seed, k) => [seed, v.lost[k]]).filter(([, from]) => from !== null && from <= step)
        .map(([seed, from]) => TEXT.divergedRun(seed, grouped(from)));
      const count = v.stopped ? `${v.seeds.length}, ${v.stopped}` : String(v.seeds.length);
      return lost.length ? TEXT.diverged(count, lost.join(", ")) : count;
    }

    fillTable() {
      if (!this.details.open) return;
      const { variants, fields } = on(this.data, this.state), { runs } = this.state;
      const used = new Set(variants.flatMap(({ v }) => fields.filter((f) => v.series[f.field]).flatMap((f) => this.data.steps[v.series[f.field].at])));
      const rows = [...used].sort((a, b) => a - b).map((step) => [grouped(step), ...variants.flatMap(({ v }) => fields.map((f) => {
        const series = v.series[f.field];
        return series && this.data.steps[series.at].includes(step) ? said(v, f, this.data.steps, step, runs) : "";
      }))]);
      const heads = variants.flatMap(({ v }) => fields.map((f) => (fields.length > 1 ? `${v.name}, ${f.name}` : v.name)));
      this.details.querySelectorAll("table").forEach((old) => old.remove());
      this.details.append(table(TEXT.tableCaption(this.selects.runs.selectedOptions[0].textContent), [TEXT.step, ...heads], rows));
    }

    draw() {
      if (this.state) this.signs.textContent = this.chart.draw(this.state).map((sign) => TEXT.signs[sign]).join(" ");
    }

    /* The pointer reads while it moves; the address follows when it leaves, since browsers limit how often it may. */
    point() {
      const { chart } = this.chart;
      const follow = (event) => this.show({ ...this.state, step: this.chart.nearest(this.stops, event.clientX) });
      chart.addEventListener("pointermove", follow);
      chart.addEventListener("pointerdown", follow);
      chart.addEventListener("pointerleave", () => this.change({}));
    }
  }

  function publishedWord(v, published) {
    return published.filter((p) => p.name === v.name).map((p) => `${percent(p.value)}${p.uncertainty ? ` ± ${percent(p.uncertainty, 1)}` : ""} %`).join(", ");
  }

  globalThis.CurveExplorer = Object.assign(CurveExplorer, { said, TEXT });
  define("curve-explorer", CurveExplorer);
})();
