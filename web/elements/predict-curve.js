/* <predict-curve>: the reader draws a guess of a curve, then sees what was measured.

   Light DOM: a <script type="application/json"> with {y, steps, handles, shown, hidden, chance}, a
   <p class="rn-predict-still"> for readers without JavaScript, <details> with the measured figure and table, and a
   caption.  Errors are fractions; "shown" and "hidden" have a name, and mean, low, high and runs at each of the steps.
   "handles" are the places in steps where the guess can be moved; between them it is straight.
   resnet_lib/widgets/predict.py makes all this from records.  Classic script: name on globalThis.
   needs: page */
(function () {
  "use strict";

  const TEXT = {
    task: (hidden, shown) => `Where will the curve of ${hidden} run? The line with the handles is your bet. ` +
      `It starts on that of ${shown}: drag it to where you expect it, then reveal.`,
    chart: (y, hidden) => `${y} against steps: your guess for ${hidden}`,
    handle: (hidden, step) => `guess for ${hidden}, step ${step}`,
    value: (step, percent) => `step ${step}: ${percent} %`,
    guess: "your bet",
    chance: "guessing",
    steps: "steps",
    reveal: "Reveal",
    again: "Try again",
    sliders: "Set the bet with sliders",
    slider: (step) => `step ${step}`,
    percent: (n) => `${n} %`,
    untouched: (shown) => `You left the bet on ${shown}: no difference. `,
    close: (hidden, points) => `Your bet and the measured curve of ${hidden} are ${points} points apart on average. ` +
      "That is within a point.",
    low: (hidden, points) => `Your bet was ${points} points off on average, mostly too low: ${hidden} made more errors ` +
      "than that.",
    high: (hidden, points) => `Your bet was ${points} points off on average, mostly too high: ${hidden} made fewer ` +
      "errors than that.",
    mixed: (hidden, points) => `Your bet was ${points} points off on average, too low at some steps and too high at ` +
      "others.",
  };

  const { element, drawn, drag, BookElement, define } = globalThis.BookPage;
  const ROOM = { left: 46, right: 76, top: 30, bottom: 40 };
  const LABEL_GAP = 16;

  /* The guess at every step: straight between the handles. `handles` are ascending places in `steps`. */
  function interpolate(steps, handles, values) {
    return steps.map((step, i) => {
      const right = handles.findIndex((h) => h >= i);
      if (right <= 0) return values[right === 0 ? 0 : values.length - 1];
      const a = steps[handles[right - 1]];
      const b = steps[handles[right]];
      return values[right - 1] + (values[right] - values[right - 1]) * (step - a) / (b - a);
    });
  }

  /* Mean absolute and mean signed difference (guess minus measured), in points. */
  function miss(guess, measured) {
    const off = guess.map((g, i) => 100 * (g - measured[i]));
    const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
    return { points: mean(off.map(Math.abs)), signed: mean(off) };
  }

  function verdict(hidden, { points, signed }) {
    const words = points.toFixed(1);
    if (points <= 1) return TEXT.close(hidden, words);
    if (Math.abs(signed) < points / 2) return TEXT.mixed(hidden, words);
    return signed < 0 ? TEXT.low(hidden, words) : TEXT.high(hidden, words);
  }

  class PredictCurve extends BookElement {
    build() {
      const source = this.querySelector('script[type="application/json"]');
      if (!source) return;
      this.data = JSON.parse(source.textContent);
      this.querySelectorAll(".rn-predict-still").forEach((still) => { still.hidden = true; });
      const { y, hidden, shown } = this.data;
      this.chart = drawn("svg", { class: "rn-predict-chart", role: "group", "aria-label": TEXT.chart(y, hidden.name) });
      this.status = element("p", { className: "rn-predict-verdict" });
      this.status.setAttribute("role", "status");
      const box = element("div", { className: "rn-predict" },
        element("p", { className: "rn-predict-task", textContent: TEXT.task(hidden.name, shown.name) }),
        this.chart, this.bar(), this.status, this.folded());
      this.prepend(box);
      this.reset();
      new ResizeObserver(() => this.draw()).observe(this.chart);
    }

    bar() {
      this.revealButton = element("button", { type: "button", className: "rn-predict-reveal", textContent: TEXT.reveal });
      this.againButton = element("button", { type: "button", textContent: TEXT.again });
      this.revealButton.addEventListener("click", () => this.reveal());
      this.againButton.addEventListener("click", () => this.reset());
      return element("div", { className: "rn-predict-bar" }, this.revealButton, this.againButton);
    }

    folded() {
      this.ranges = this.data.handles.map((place, k) => {
        const step = this.data.steps[place];
        const range = element("input", { type: "range", min: 0, max: 100, step: 1 });
        range.addEventListener("input", () => this.move(k, Number(range.value) / 100));
        const output = element("output");
        const label = element("label", {}, element("span", { textContent: TEXT.slider(step) }), range, output);
        return { range, output, label };
      });
      return element("details", { className: "rn-data rn-predict-sliders" },
        element("summary", { textContent: TEXT.sliders }), ...this.ranges.map((r) => r.label));
    }

    /* --- state */

    reset() {
      this.revealed = false;
      this.touched = false;
      const { shown, handles } = this.data;
      this.guess = handles.map((place) => Math.round(100 * shown.mean[place]) / 100);
      this.status.textContent = "";
      this.update();
    }

    move(k, value) {
      if (this.revealed) return this.update();
      this.touched = true;
      this.guess[k] = Math.round(100 * Math.min(Math.max(value, 0), 1)) / 100;
      this.update();
    }

    reveal() {
      if (this.revealed) return;
      this.revealed = true;
      const { steps, handles, hidden, shown } = this.data;
      const found = miss(interpolate(steps, handles, this.guess), hidden.mean);
      this.status.textContent = (this.touched ? "" : TEXT.untouched(shown.name)) + verdict(hidden.name, found);
      this.update();
    }

    update() {
      this.classList.toggle("rn-revealed", this.revealed);
      // aria-disabled, not disabled: a button that loses the focus while it is pressed is a trap.
      this.revealButton.setAttribute("aria-disabled", this.revealed);
      this.againButton.setAttribute("aria-disabled", !this.revealed && !this.touched);
      this.ranges.forEach(({ range, output }, k) => {
        const percent = Math.round(100 * this.guess[k]);
        range.value = percent;
        range.disabled = this.revealed;
        range.setAttribute("aria-valuetext", TEXT.value(this.data.steps[this.data.handles[k]], percent));
        output.textContent = TEXT.percent(percent);
      });
      this.draw();
    }

    /* --- drawing, in pixels of the page, so that words keep their size on a phone */

    draw() {
      const width = this.chart.clientWidth;
      if (!width) return;
      const height = Math.round(Math.min(Math.max(0.58 * width, 270), 360));
      const { steps } = this.data;
      const last = steps[steps.length - 1];
      this.x = (step) => ROOM.left + (width - ROOM.left - ROOM.right) * step / last;
      this.y = (value) => ROOM.top + (height - ROOM.top - ROOM.bottom) * (1 - value);
      this.value = (y) => 1 - (y - ROOM.top) / (height - ROOM.top - ROOM.bottom);
      const key = `${width} ${this.revealed}`;
      if (this.drawnFor !== key) this.redraw(width, height, key);
      this.place();
    }

    /* What does not change while a handle moves. */
    redraw(width, height, key) {
      const before = this.drawnFor;
      this.drawnFor = key;
      this.chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.chart.style.height = `${height}px`;
      if (!this.layer) {
        this.layer = { back: drawn("g", { "aria-hidden": "true" }), guess: drawn("g", {}), front: drawn("g", {}) };
        this.chart.append(this.layer.back, this.layer.guess, this.layer.front);
        this.buildGuess();
      }
      const { shown, hidden } = this.data;
      const parts = [...this.axes(), ...this.curve(shown, "rn-shown")];
      if (this.revealed) {
        const group = drawn("g", { class: before && before.split(" ")[0] === String(width) ? "rn-predict-new" : "" });
        group.append(...this.curve(hidden, "rn-hidden"));
        parts.push(group);
      }
      this.layer.back.replaceChildren(...parts);
    }

    axes() {
      const { steps, handles, y, chance } = this.data;
      const last = steps[steps.length - 1];
      const parts = [drawn("text", { x: 2, y: 13, class: "rn-axis-name" }, y)];
      for (const value of [0, 0.25, 0.5, 0.75, 1]) {
        parts.push(drawn("line", { x1: ROOM.left, x2: this.x(last), y1: this.y(value), y2: this.y(value),
          class: value ? "rn-grid" : "rn-axis" }));
        parts.push(drawn("text", { x: ROOM.left - 8, y: this.y(value) + 4, "text-anchor": "end" },
          TEXT.percent(100 * value)));
      }
      for (const step of [0, ...handles.map((place) => steps[place])]) {
        parts.push(drawn("line", { x1: this.x(step), x2: this.x(step), y1: this.y(0), y2: this.y(0) + 4, class: "rn-axis" }));
        parts.push(drawn("text", { x: this.x(step), y: this.y(0) + 17, "text-anchor": "middle" }, step));
      }
      parts.push(drawn("text", { x: this.x(last), y: this.y(0) + 33, "text-anchor": "end" }, TEXT.steps));
      if (chance) {
        parts.push(drawn("line", { x1: ROOM.left, x2: this.x(last) + 10, y1: this.y(chance), y2: this.y(chance),
          class: "rn-chance" }));
      }
      return parts;
    }

    path(values) {
      return this.data.steps.map((step, i) => `${i ? "L" : "M"}${this.x(step).toFixed(1)} ${this.y(values[i]).toFixed(1)}`)
        .join("");
    }

    curve({ mean, low, high, runs }, name) {
      const back = [...this.data.steps.keys()].reverse()
        .map((i) => `L${this.x(this.data.steps[i]).toFixed(1)} ${this.y(low[i]).toFixed(1)}`).join("");
      return [drawn("path", { d: `${this.path(high)}${back}Z`, class: `rn-band ${name}` }),
        ...runs.map((run) => drawn("path", { d: this.path(run), class: `rn-seed ${name}` })),
        drawn("path", { d: this.path(mean), class: `rn-mean ${name}` })];
    }

    buildGuess() {
      const { handles, steps, hidden } = this.data;
      this.misses = drawn("g", { class: "rn-misses", "aria-hidden": "true" });
      this.line = drawn("path", { class: "rn-guess", "aria-hidden": "true" });
      this.handles = handles.map((place, k) => {
        const handle = drawn("g", { class: "rn-handle", tabindex: 0, role: "slider", "aria-orientation": "vertical",
          "aria-label": TEXT.handle(hidden.name, steps[place]), "aria-valuemin": 0, "aria-valuemax": 100 });
        handle.append(drawn("circle", { r: 21, class: "rn-target" }), drawn("circle", { r: 10.5, class: "rn-ring" }),
          drawn("circle", { r: 7, class: "rn-dot" }), drawn("path", { d: "M-3 -11.5L0 -15L3 -11.5M-3 11.5L0 15L3 11.5" }));
        handle.addEventListener("keydown", (event) => this.key(event, k));
        handle.addEventListener("pointerdown", (event) => this.grab(event, k));
        return handle;
      });
      this.labels = ["guess", "shown", "hidden", "chance"].map((name) => drawn("text", { class: `rn-label rn-${name}` }));
      this.bubble = drawn("text", { class: "rn-bubble", "text-anchor": "middle", "aria-hidden": "true" });
      this.layer.guess.append(this.misses, this.line, ...this.handles);
      this.layer.front.setAttribute("aria-hidden", "true");
      this.layer.front.append(...this.labels, this.bubble);
    }

    /* What moves with the handles. */
    place() {
      const { steps, handles, hidden } = this.data;
      const all = interpolate(steps, handles, this.guess);
      this.line.setAttribute("d", this.path(all));
      this.handles.forEach((handle, k) => {
        const step = steps[handles[k]];
        const percent = Math.round(100 * this.guess[k]);
        handle.setAttribute("transform", `translate(${this.x(step).toFixed(1)} ${this.y(this.guess[k]).toFixed(1)})`);
        handle.setAttribute("aria-valuenow", percent);
        handle.setAttribute("aria-valuetext", TEXT.value(step, percent));
        handle.setAttribute("aria-disabled", this.revealed);
      });
      this.misses.replaceChildren(...(this.revealed ? steps.map((step, i) => drawn("line", { x1: this.x(step),
        x2: this.x(step), y1: this.y(all[i]), y2: this.y(hidden.mean[i]) })) : []));
      this.placeLabels();
    }

    placeLabels() {
      const { steps, shown, hidden, chance } = this.data;
      const end = steps.length - 1;
      const texts = [TEXT.guess, shown.name, this.revealed ? hidden.name : "", chance ? TEXT.chance : ""];
      const wanted = [this.guess[this.guess.length - 1], shown.mean[end], hidden.mean[end], chance];
      const order = [0, 1, 2, 3].filter((k) => texts[k]).sort((a, b) => wanted[b] - wanted[a]);
      let at = -Infinity;
      const heights = new Map();
      for (const k of order) {
        at = Math.max(this.y(wanted[k]) + 4, at + LABEL_GAP);
        heights.set(k, at);
      }
      this.labels.forEach((label, k) => {
        label.textContent = texts[k];
        label.setAttribute("x", this.x(steps[end]) + 15);
        if (heights.has(k)) label.setAttribute("y", heights.get(k).toFixed(1));
      });
    }

    /* --- input */

    key(event, k) {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
      const to = { Home: 0, End: 1 }[event.key];
      if (step === undefined && to === undefined) return;
      event.preventDefault();
      this.move(k, to ?? this.guess[k] + step / 100);
    }

    grab(event, k) {
      if (this.revealed || event.button > 0) return;
      const handle = this.handles[k];
      const box = this.chart.getBoundingClientRect();
      const offset = event.clientY - box.top - this.y(this.guess[k]);
      const follow = (moved) => {
        const here = this.chart.getBoundingClientRect();
        this.move(k, this.value(moved.clientY - here.top - offset));
        this.tell(k);
      };
      if (!drag(handle, event, follow, () => { this.bubble.textContent = ""; })) return;
      handle.focus({ preventScroll: true });
      this.tell(k);
    }

    tell(k) {
      const { steps, handles } = this.data;
      const y = this.y(this.guess[k]);
      this.bubble.textContent = TEXT.percent(Math.round(100 * this.guess[k]));
      this.bubble.setAttribute("x", this.x(steps[handles[k]]));
      this.bubble.setAttribute("y", y < 60 ? y + 34 : y - 22);
    }
  }

  globalThis.PredictCurve = Object.assign(PredictCurve, { interpolate, miss, verdict, TEXT });
  define("predict-curve", PredictCurve);
})();
