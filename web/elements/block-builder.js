/* <block-builder>: a bottleneck block that can be rebuilt, beside two basic blocks: one with the same outer
   channels, one of the same cost.  What it costs is computed here from the shapes; tests/web/browser compares the
   numbers with PyTorch's.  Content of the element is what readers without scripts get.  Classic script: names on
   globalThis.  needs: page */
(function () {
  "use strict";

  const TEXT = {
    controls: "Build a block",
    ratio: "Width w of the 3×3",
    ratioValue: (w, c) => `${w} of ${c} channels`,
    more: "More: channels, resolution, stride, drawing",
    channels: "Outer channels C",
    size: "Side of the input, in pixels",
    stride: "Stride",
    strides: { none: "1", "1x1": "2, on the 1×1 (paper)", "3x3": "2, on the 3×3 (v1.5)" },
    shown: "Drawn block",
    reset: "Reset",
    kinds: {
      bottleneck: "bottleneck",
      same: "basic, same channels",
      equal: "basic, same cost",
    },
    kindsWithWidth: (kind, c) => (kind === "equal" ? `basic, same cost: ${c} ch.` : TEXT.kinds[kind]),
    groups: {
      weights: "Weights",
      macs: "Multiply–adds, one picture",
      moved: "Numbers read and written, one picture",
    },
    layers: { conv1: "first", conv2: "second", conv3: "third", shortcut: "shortcut", rest: "BN, ReLU, addition" },
    times: (x) => `${x < 0.095 ? x.toFixed(2) : x < 9.95 ? x.toFixed(1) : x.toFixed(0)}×`,
    verdict(s, all) {
      const factor = all.same.macs / all.bottleneck.macs;
      const first = Math.abs(factor - 1) < 0.02
        ? `A basic block with the same ${s.channels} channels costs the same.`
        : factor > 1
          ? `A basic block with the same ${s.channels} channels takes ${factor.toFixed(1)} times the multiply–adds.`
          : `The bottleneck is no longer cheaper: a basic block with the same ${s.channels} channels takes only ` +
            `${factor.toFixed(2)} times its multiply–adds.`;
      const moved = all.bottleneck.moved / all.equal.moved;
      const second = `For the bottleneck's cost a basic block could have ${all.equal.channels} channels, and ` +
        `would move ${moved >= 1 ? `${moved.toFixed(1)} times fewer` : `${(1 / moved).toFixed(1)} times more`} numbers.`;
      const third = s.stride === "1x1" ? " Branch and shortcut use only every second pixel in each direction; the count " +
        "above still charges the whole map." : "";
      return `${first} ${second}${third}`;
    },
    tryThis: "Try this: widen the 3×3 until the bottleneck is no longer cheaper than the basic block with the same " +
      "channels. Is it still a bottleneck there? Then look at the third group at w = C/4.",
    picture: (name, layers) => `Drawing of the ${name} block: ${layers}.`,
    table: "Data table",
    tableCaption: "Cost of the three blocks, by layer",
    tableHead: ["block", "layer", "channels", "output side", "weights", "multiply–adds", "numbers moved"],
    total: "together",
  };
  const RATIOS = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1, 5 / 4, 3 / 2, 2];
  const CHANNELS = [64, 128, 256, 512, 1024, 2048];
  const SIZES = [8, 14, 16, 28, 32, 56];
  const STRIDES = ["none", "1x1", "3x3"];
  const KINDS = ["bottleneck", "same", "equal"];
  const START = { channels: 256, ratio: 1 / 4, size: 56, stride: "none", shown: "bottleneck" };

  /* ---- what a block costs: formulas, no page needed ---------------------------------------------- */

  function conv(name, from, to, kernel, sizeIn, stride, relu) {
    const sizeOut = Math.ceil(sizeIn / stride);
    const weights = kernel * kernel * from * to;
    const out = to * sizeOut * sizeOut;
    // the convolution reads its input once and writes its output; so do batch norm and ReLU
    return {
      name, from, to, kernel, sizeIn, sizeOut, stride, relu, weights, macs: weights * sizeOut * sizeOut,
      moved: from * sizeIn * sizeIn + out, rest: 2 * out + (relu ? 2 * out : 0),
    };
  }

  /* kind "basic": width is not used.  stride "none", "1x1" or "3x3" (which convolution of a bottleneck carries the
     2; a basic block's is on its first 3×3 either way).  With a stride the input has half the channels. */
  function blockCost(kind, channels, width, size, stride) {
    const s = stride === "none" ? 1 : 2;
    const from = s === 1 ? channels : channels / 2;
    const layers = [];
    if (kind === "basic") {
      layers.push(conv("conv1", from, channels, 3, size, s, true));
      layers.push(conv("conv2", channels, channels, 3, layers[0].sizeOut, 1, false));
    } else {
      layers.push(conv("conv1", from, width, 1, size, stride === "1x1" ? 2 : 1, true));
      layers.push(conv("conv2", width, width, 3, layers[0].sizeOut, stride === "3x3" ? 2 : 1, true));
      layers.push(conv("conv3", width, channels, 1, layers[1].sizeOut, 1, false));
    }
    if (s === 2) layers.push(conv("shortcut", from, channels, 1, size, 2, false));
    const out = channels * layers[1].sizeOut ** 2;
    const sum = (key) => layers.reduce((total, layer) => total + layer[key], 0);
    const rest = sum("rest") + 5 * out; // the addition reads two and writes one, the last ReLU reads and writes
    return { kind, channels, from, size, layers, rest, weights: sum("weights"), macs: sum("macs"), moved: sum("moved") + rest };
  }

  /* The three blocks of a setting.  A basic block's multiply–adds grow with the square of its channels. */
  function compare(setting) {
    const { channels, ratio, size, stride } = setting;
    const bottleneck = blockCost("bottleneck", channels, channels * ratio, size, stride);
    const same = blockCost("basic", channels, 0, size, stride);
    const grain = stride === "none" ? 1 : 2;
    const width = channels * Math.sqrt(bottleneck.macs / same.macs);
    const equal = blockCost("basic", Math.max(grain, grain * Math.round(width / grain)), 0, size, stride);
    return { bottleneck, same, equal };
  }

  /* ---- the page ---------------------------------------------------------------------------------- */

  const { element, drawn, table, readHash, writeHash, keyOf, BookElement, define } = globalThis.BookPage;

  const short = (n) => (n >= 1e9 ? `${(n / 1e9).toPrecision(3)} G` : n >= 1e6 ? `${(n / 1e6).toPrecision(3)} M`
    : n >= 1e4 ? `${Math.round(n / 1e3)} k` : `${n}`);
  const exact = (n) => n.toLocaleString("en-US");
  const words = (layer) => `${layer.kernel}×${layer.kernel} conv${layer.stride > 1 ? " /2" : ""}, BN${layer.relu ? ", ReLU" : ""}`;
  const shape = (channels, size) => `${channels} × ${size} × ${size}`;

  const pack = (s) => [s.channels, s.ratio, s.size, s.stride, s.shown].join(",");

  function unpack(text) {
    const [channels, ratio, size, stride, shown] = (text || "").split(",");
    const s = { channels: Number(channels), ratio: Number(ratio), size: Number(size), stride, shown };
    const valid = CHANNELS.includes(s.channels) && RATIOS.includes(s.ratio) && SIZES.includes(s.size) &&
      STRIDES.includes(stride) && KINDS.includes(shown);
    return valid ? s : null;
  }

  class BlockBuilder extends BookElement {
    build() {
      this.key = keyOf(this, "builder");
      this.replaceChildren();
      this.picture = element("div", { className: "rn-builder-picture" });
      this.bars = element("div", { className: "rn-builder-bars" });
      this.verdict = element("p", { className: "rn-builder-verdict" });
      this.verdict.setAttribute("role", "status");
      this.table = element("div");
      const data = element("details", { className: "rn-data" }, element("summary", { textContent: TEXT.table }), this.table);
      this.append(
        this.controls(),
        element("div", { className: "rn-builder-stage" }, this.picture, element("div", {}, this.bars, this.verdict)),
        element("p", { className: "rn-caption", textContent: TEXT.tryThis }), data);
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
    }

    controls() {
      const bar = element("div", { className: "rn-builder-bar" });
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", TEXT.controls);
      this.range = element("input", { type: "range", id: `${this.key}-ratio`, min: 0, max: RATIOS.length - 1, step: 1 });
      this.range.addEventListener("input", () => this.change({ ratio: RATIOS[this.range.value] }));
      this.output = element("output", { className: "rn-player-value" });
      this.output.setAttribute("for", this.range.id);
      this.resetButton = element("button", { type: "button", textContent: TEXT.reset, className: "rn-player-reset" });
      this.resetButton.addEventListener("click", () => this.change(START));
      bar.append(element("label", { htmlFor: this.range.id, textContent: TEXT.ratio }), this.range, this.output, this.resetButton);
      this.selects = {};
      const more = element("div", { className: "rn-builder-more" });
      for (const [name, values, label] of [["channels", CHANNELS], ["size", SIZES], ["stride", STRIDES, (v) => TEXT.strides[v]],
        ["shown", KINDS, (v) => TEXT.kinds[v]]]) {
        const select = element("select", { id: `${this.key}-${name}` });
        select.append(...values.map((v) => element("option", { value: v, textContent: label ? label(v) : v })));
        select.addEventListener("change", () => this.change({ [name]: values[select.selectedIndex] }));
        this.selects[name] = [select, values];
        more.append(element("label", { htmlFor: select.id, textContent: TEXT[name] }), select);
      }
      const fold = element("details", {}, element("summary", { textContent: TEXT.more }), more);
      return element("div", { className: "rn-builder-controls" }, bar, fold);
    }

    fromHash(first) {
      const wanted = unpack(readHash().get(this.key));
      if (wanted && first) this.scrollIntoView({ block: "center" });
      if (wanted || first) this.show(wanted || START);
    }

    change(part) {
      this.show({ ...this.state, ...part });
      writeHash(this.key, pack(this.state) === pack(START) ? null : pack(this.state));
    }

    show(state) {
      this.state = state;
      const all = compare(state), width = state.channels * state.ratio;
      this.range.value = RATIOS.indexOf(state.ratio);
      this.range.setAttribute("aria-valuetext", TEXT.ratioValue(width, state.channels));
      this.output.textContent = TEXT.ratioValue(width, state.channels);
      for (const [name, [select, values]] of Object.entries(this.selects)) select.selectedIndex = values.indexOf(state[name]);
      this.resetButton.setAttribute("aria-disabled", pack(state) === pack(START));
      this.picture.replaceChildren(drawBlock(all[state.shown], TEXT.kinds[state.shown], this.key));
      this.bars.replaceChildren(...Object.keys(TEXT.groups).map((key) => drawBars(key, all)));
      this.verdict.textContent = TEXT.verdict(state, all);
      this.table.replaceChildren(makeTable(all));
    }
  }

  /* Bands as wide as the tensor has channels, boxes for layers, the blue arc for the shortcut. */
  function drawBlock(block, name, key) {
    const main = block.layers.filter((layer) => layer.name !== "shortcut");
    const projection = block.layers.find((layer) => layer.name === "shortcut");
    const top = 52, step = 84, axis = 104, end = top + main.length * step;
    const svg = drawn("svg", { viewBox: `0 0 330 ${end + 122}`, role: "img", fill: "none", stroke: "currentColor", "stroke-width": 1.3, "font-size": 13 });
    const layers = main.map((l) => `${words(l)} from ${l.from} to ${l.to} channels`).join("; ");
    svg.setAttribute("aria-label", TEXT.picture(name, layers));
    const widest = Math.max(block.from, ...main.map((l) => l.to));
    const tip = (id, color) => {
      const marker = drawn("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
      marker.append(drawn("path", { d: "M0 0 8 4 0 8z", fill: color, stroke: "none" }));
      return marker;
    };
    const defs = drawn("defs", {});
    defs.append(tip(`${key}-tip`, "currentColor"), tip(`${key}-arc`, "var(--rn-residual, #0072B2)"));
    svg.append(defs);
    const word = (x, y, text, more = {}) => svg.append(drawn("text", { x, y, fill: "currentColor", stroke: "none", ...more }, text));
    const flow = (y1, y2, channels, size) => {
      const half = Math.max(1.5, 84 * channels / widest);
      svg.append(drawn("rect", { class: "rn-builder-band", x: axis - half, y: y1, width: 2 * half, height: y2 - y1, stroke: "none", fill: "currentColor", "fill-opacity": 0.11 }));
      svg.append(drawn("path", { d: `M${axis} ${y1}V${y2 - 1}`, "marker-end": `url(#${key}-tip)` }));
      word(axis + 9, y1 === 0 ? y2 - 9 : (y1 + y2) / 2 + 5, shape(channels, size));
    };
    const box = (y, text, width, height = 32) => {
      svg.append(drawn("rect", { x: axis - width / 2, y, width, height, rx: 3, fill: "var(--rn-paper, #fff)" }));
      word(axis, y + height / 2 + 4.5, text, { "text-anchor": "middle" });
    };
    flow(0, top, block.from, block.size);
    main.forEach((layer, k) => {
      const y = top + k * step;
      box(y, words(layer), 176);
      const last = k === main.length - 1;
      if (last) svg.append(drawn("path", { d: `M${axis} ${y + 32}V${end - 2}`, "marker-end": `url(#${key}-tip)` }));
      else flow(y + 32, y + step, layer.to, layer.sizeOut);
    });
    const plus = end + 8;
    word(axis - 12, end - 10, "F(x)", { "text-anchor": "end" });
    svg.append(drawn("circle", { cx: axis, cy: plus, r: 9 }), drawn("path", { d: `M${axis - 6} ${plus}h12M${axis} ${plus - 6}v12` }));
    const blue = "var(--rn-residual, #0072B2)";
    svg.append(drawn("path", { d: `M${axis} 7C230 7 262 22 262 92V${plus - 52}C262 ${plus - 16} 240 ${plus} ${axis + 11} ${plus}`, stroke: blue, "stroke-width": 2.4, "marker-end": `url(#${key}-arc)` }));
    const middle = (92 + plus - 52) / 2;
    if (projection) {
      svg.append(drawn("rect", { x: 223, y: middle - 26, width: 78, height: 50, rx: 3, fill: "var(--rn-paper, #fff)", stroke: blue }));
      word(262, middle - 6, "1×1 conv /2,", { "text-anchor": "middle", fill: blue, "font-size": 12 });
      word(262, middle + 11, "BN", { "text-anchor": "middle", fill: blue, "font-size": 12 });
    } else word(270, middle + 4, "x", { fill: blue });
    svg.append(drawn("path", { d: `M${axis} ${plus + 9}V${plus + 31}`, "marker-end": `url(#${key}-tip)` }));
    box(plus + 32, "ReLU", 60, 26);
    flow(plus + 58, plus + 112, block.channels, main[main.length - 1].sizeOut);
    return svg;
  }

  function drawBars(group, all) {
    const most = Math.max(...KINDS.map((kind) => all[kind][group]));
    const figure = element("div", { className: "rn-builder-group" }, element("p", { textContent: TEXT.groups[group] }));
    for (const kind of KINDS) {
      const block = all[kind];
      const bar = element("span", { className: `rn-builder-bar-line rn-builder-${kind}` });
      bar.setAttribute("aria-hidden", "true");
      const pieces = block.layers.map((l) => [l.kernel, l[group]]);
      if (group === "moved") pieces.push(["rest", block.rest]);
      for (const [kernel, value] of pieces) {
        const piece = element("i", { className: `rn-builder-k${kernel}` });
        piece.style.width = `${100 * value / most}%`;
        bar.append(piece);
      }
      const ratio = kind === "bottleneck" ? "" : ` · ${TEXT.times(block[group] / all.bottleneck[group])}`;
      figure.append(element("div", { className: "rn-builder-row" },
        element("span", { className: "rn-builder-name", textContent: TEXT.kindsWithWidth(kind, block.channels) }), bar,
        element("span", { className: "rn-builder-number", textContent: short(block[group]) + ratio })));
    }
    return figure;
  }

  function makeTable(all) {
    const rows = [];
    for (const kind of KINDS) {
      const block = all[kind];
      for (const l of block.layers) {
        rows.push([TEXT.kinds[kind], `${TEXT.layers[l.name]}, ${l.kernel}×${l.kernel}`, `${l.from} → ${l.to}`,
          exact(l.sizeOut), exact(l.weights), exact(l.macs), exact(l.moved)]);
      }
      rows.push([TEXT.kinds[kind], TEXT.layers.rest, "", "", "", "", exact(block.rest)]);
      rows.push([TEXT.kinds[kind], TEXT.total, "", "", exact(block.weights), exact(block.macs), exact(block.moved)]);
    }
    return table(TEXT.tableCaption, TEXT.tableHead, rows);
  }

  globalThis.BlockCost = { blockCost, compare, RATIOS, CHANNELS, SIZES, STRIDES };
  globalThis.BlockBuilder = BlockBuilder;
  define("block-builder", BlockBuilder);
})();
