/* <net-builder>: a whole ResNet from its options: stage table, drawing, cost, and the line of resnet_lib that builds it.
   The numbers come from netcost.js.  Content of the element is what readers without scripts get.  Classic script: names
   on globalThis.  needs: page, netcost */
(function () {
  "use strict";

  const TEXT = {
    controls: "Build a net",
    family: "Family",
    families: { imagenet: "18 to 152 (ImageNet)", cifar: "6n + 2 (CIFAR-10)" },
    depth: "Depth",
    depthValue: (s) => (s.kind === "plain" ? `plain-${s.depth}` : `ResNet-${s.depth}`),
    more: "More: block, shortcut, width, input",
    labels: { kind: "Blocks", shortcut: "Shortcut where", block: "Order in the block", strideIn: "Stride of a bottleneck",
      width: "Channels of the first stage", size: "Side of the input, in pixels", channels: "Channels of the input", classes: "Classes" },
    choices: {
      kind: { residual: "residual", plain: "plain, no additions" },
      shortcut: { A: "A: zeros where the shape changes", B: "B: projection where it changes", C: "C: projections everywhere" },
      block: { post: "activation after (2015)", pre: "activation before (2016)" },
      strideIn: { "3x3": "on the 3×3 (v1.5)", "1x1": "on the 1×1 (paper)" },
    },
    range: (least, most) => `${least} to ${most.toLocaleString("en-US")}`,
    reset: "Reset",
    parts: { conv1: (f) => (f === "imagenet" ? "7×7 conv /2" : "3×3 conv"), maxpool: () => "max-pool /2", fc: () => "mean, linear" },
    stage: (k, n) => `stage ${k}: ${n} block${n > 1 ? "s" : ""}`,
    shape: (channels, side) => (side === null ? `${channels}` : `${channels} × ${side} × ${side}`),
    together: "together",
    tableCaption: "Stage by stage, one picture",
    head: ["part", "output", "parameters", "multiply–adds"],
    exact: "Data table",
    exactCaption: (name) => `${name}, exactly`,
    code: "In resnet_lib",
    copy: "Copy",
    copied: "Copied.",
    refused: "The browser refused the clipboard. The line is selected: copy it with the keyboard.",
    changed: (names) => `Changed to what such a net can have: ${names}.`,
    tryThis: "Try this: make the input 32 pixels wide and look at the last maps. Which column of the table changed, and which " +
      "did not? Then take the 6n + 2 family, slide the depth, and look where the parameters go.",
    picture: (name, parts) => `Drawing of ${name}, the width of a band is the side of its map: ${parts}.`,
    share: (x) => `${(100 * x).toFixed(x < 0.0995 ? 1 : 0)} %`,
    where: (p, m, pShare, mShare) => (p === m
      ? `${p} holds ${pShare} of the parameters and does ${mShare} of the multiply–adds.`
      : `Most parameters sit in ${p} (${pShare}), most multiply–adds in ${m} (${mShare}).`),
    partName: (part) => (part.blocks ? `stage ${part.name.slice(5)}` : { conv1: "the stem", fc: "the linear layer" }[part.name]),
    tiny: "The last stage ends in a map of one pixel: a 3×3 kernel on it meets padding everywhere but in the middle.",
    small: (side) => `The last stage ends in maps of ${side}×${side}: a 3×3 kernel on them meets padding at every position.`,
    evenly: "The stages cost nearly the same, since a map has a quarter of the pixels where the weights are four times as " +
      "many: multiply–adds are spread evenly, parameters are not.",
    unevenly: (ratios) => `From stage to stage the multiply–adds go as ${ratios}; with many blocks and a side that can be ` +
      "halved twice they would be nearly equal.",
    plain: "Leaving out the additions changes neither number: the plain net has the weights and the multiply–adds of " +
      "the residual net with option A.",
    option: (name, n, parameters, share, macs) => `Option ${name} has ${n} projection${n > 1 ? "s" : ""}: ${parameters} parameters (${share}) and ` +
      `${macs} multiply–adds more than option A.`,
    pre: "Moving the activations before the convolutions changes neither number: some batch norms get narrower, one comes " +
      "behind the last stage, and the sums are equal.",
    width: (w, p, m) => `With ${w} channels instead of 16, parameters are ${p} times and multiply–adds ${m} times those of the usual width.`,
    stride: (where, d, share) => (where === "1x1"
      ? `The paper's stride on the 1×1 saves ${d} multiply–adds (${share}): three pixels in four are read by neither path.`
      : `With the paper's stride on the 1×1 it would be ${d} multiply–adds less (${share}), with the same weights.`),
    basic: (blocks, n) => `The depth counts 1 + 2 · ${blocks} + 1 layers; the ${n} projections on shortcuts are not counted.`,
  };

  const { element, drawn, table, readHash, writeHash, keyOf, BookElement, define } = globalThis.BookPage;
  const { netCost, line, settle, START, LIMITS, CHOICES, IMAGENET, IMAGENET_DEPTHS, CIFAR_DEPTHS } = globalThis.NetCost;
  const KEYS = ["family", "depth", "size", "channels", "classes", "width", "kind", "shortcut", "block", "strideIn"];
  const NUMBERS = ["depth", "size", "channels", "classes", "width"];
  const DRAWN = 12; // blocks of a stage; more become a row of dots

  const exact = (n) => n.toLocaleString("en-US");
  function short(n) {
    const [unit, by] = n >= 1e9 ? [" G", 1e9] : n >= 1e6 ? [" M", 1e6] : n >= 1e4 ? [" k", 1e3] : ["", 1];
    const value = n / by;
    return by === 1 ? exact(n) : `${value >= 1000 ? exact(Math.round(value)) : Number(value.toPrecision(3))}${unit}`;
  }
  const depthsOf = (family) => (family === "imagenet" ? IMAGENET_DEPTHS : CIFAR_DEPTHS);
  const partTitle = (part, s) => (part.blocks ? TEXT.stage(part.name.slice(5), part.blocks) : TEXT.parts[part.name](s.family));

  /* One or two sentences on this very net. */
  function verdict(s) {
    const net = netCost(s);
    const top = (key) => net.parts.reduce((a, b) => (b[key] > a[key] ? b : a));
    const p = top("parameters"), m = top("macs"), bare = (part) => TEXT.partName(part);
    const first = TEXT.where(bare(p), bare(m), TEXT.share(p.parameters / net.parameters), TEXT.share(m.macs / net.macs));
    return `${first[0].toUpperCase()}${first.slice(1)} ${remark(s, net)}`;
  }

  function remark(s, net) {
    const last = net.parts[net.parts.length - 2].side;
    if (last <= 2) return last === 1 ? TEXT.tiny : TEXT.small(last);
    if (s.family === "imagenet") {
      if (net.perBlock === 2) return TEXT.basic(IMAGENET[s.depth][1].reduce((a, b) => a + b), net.projections);
      const other = netCost({ ...s, strideIn: s.strideIn === "1x1" ? "3x3" : "1x1" });
      const gap = Math.abs(other.macs - net.macs);
      return TEXT.stride(s.strideIn, short(gap), TEXT.share(gap / Math.max(net.macs, other.macs)));
    }
    if (s.kind === "plain") return TEXT.plain;
    if (s.shortcut !== "A") {
      const a = netCost({ ...s, shortcut: "A" }), more = net.parameters - a.parameters;
      return TEXT.option(s.shortcut, net.projections, exact(more), TEXT.share(more / a.parameters), short(net.macs - a.macs));
    }
    if (s.block === "pre") return TEXT.pre;
    if (s.width !== 16) {
      const usual = netCost({ ...s, width: 16 }), by = (key) => Number((net[key] / usual[key]).toPrecision(3));
      return TEXT.width(s.width, by("parameters"), by("macs"));
    }
    const costs = net.parts.filter((part) => part.blocks).map((part) => part.macs);
    return Math.max(...costs) < 1.1 * Math.min(...costs) ? TEXT.evenly
      : TEXT.unevenly(costs.map((c) => Number((c / costs[0]).toFixed(2))).join(" : "));
  }

  class NetBuilder extends BookElement {
    build() {
      this.key = keyOf(this, "net");
      this.replaceChildren();
      this.picture = element("div", { className: "rn-net-picture" });
      this.stages = element("div", { className: "rn-net-stages" });
      this.verdict = element("p", { className: "rn-net-verdict" });
      this.verdict.setAttribute("role", "status");
      this.note = element("p", { className: "rn-net-note" });
      this.note.setAttribute("role", "status");
      this.table = element("div");
      this.append(this.controls(), this.note,
        element("div", { className: "rn-net-stage" }, this.picture, element("div", {}, this.stages, this.verdict)), this.lineToCopy(),
        element("p", { className: "rn-caption", textContent: TEXT.tryThis }),
        element("details", { className: "rn-data" }, element("summary", { textContent: TEXT.exact }), this.table));
      this.fromHash(true);
      addEventListener("hashchange", () => this.fromHash(false));
    }

    controls() {
      this.family = this.select("family", Object.entries(TEXT.families));
      this.family.addEventListener("change", () => this.change(START[this.family.value]));
      this.depth = element("input", { type: "range", id: `${this.key}-depth`, min: 0, step: 1 });
      this.depth.addEventListener("input", () => this.change({ depth: depthsOf(this.state.family)[this.depth.value] }));
      this.output = element("output", { htmlFor: this.depth.id });
      this.resetButton = element("button", { type: "button", textContent: TEXT.reset });
      this.resetButton.addEventListener("click", () => this.change(START.imagenet));
      const bar = element("div", { className: "rn-net-bar" }, this.label("family", TEXT.family), this.family,
        this.label("depth", TEXT.depth), this.depth, this.output, this.resetButton);
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", TEXT.controls);
      const more = element("div", { className: "rn-net-more" });
      this.fields = {};
      for (const [name, choices] of Object.entries(CHOICES)) {
        const input = this.select(name, choices.map((value) => [value, TEXT.choices[name][value]]));
        input.addEventListener("change", () => this.change({ [name]: input.value }));
        this.field(more, name, input);
      }
      for (const [name, [least, most]] of Object.entries(LIMITS)) {
        const input = element("input", { type: "number", id: `${this.key}-${name}`, min: least, max: most, step: 1 });
        const valid = () => input.value !== "" && input.validity.valid;
        input.addEventListener("input", () => valid() && this.change({ [name]: Number(input.value) }));
        input.addEventListener("change", () => valid() || this.change({ [name]: input.value === "" ? NaN : Number(input.value) }));
        this.field(more, name, input, TEXT.range(least, most));
      }
      return element("div", { className: "rn-net-controls" }, bar,
        element("details", {}, element("summary", { textContent: TEXT.more }), more));
    }

    label(name, text) { return element("label", { htmlFor: `${this.key}-${name}`, textContent: text }); }

    select(name, options) {
      return element("select", { id: `${this.key}-${name}` }, ...options.map(([value, textContent]) => element("option", { value, textContent })));
    }

    field(more, name, input, hint = "") {
      const row = element("div", {}, this.label(name, TEXT.labels[name]), element("span", {}, input, element("small", { textContent: hint })));
      if (hint) input.setAttribute("aria-description", hint);
      this.fields[name] = { input, row };
      more.append(row);
    }

    lineToCopy() {
      this.code = element("code", {});
      this.code.tabIndex = 0;
      this.said = element("span", { className: "rn-net-said" });
      this.said.setAttribute("role", "status");
      const button = element("button", { type: "button", textContent: TEXT.copy });
      button.addEventListener("click", () => this.copy());
      const box = element("div", { className: "rn-net-line" }, element("span", { textContent: TEXT.code }), this.code, button, this.said);
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", TEXT.code);
      return box;
    }

    async copy() {
      try {
        await navigator.clipboard.writeText(this.code.textContent);
        this.said.textContent = TEXT.copied;
      } catch (error) {
        getSelection().selectAllChildren(this.code);
        this.said.textContent = TEXT.refused;
      }
    }

    fromHash(first) {
      const text = readHash().get(this.key);
      if (text === null) {
        if (first) this.show(START.imagenet);
        return;
      }
      if (first) this.scrollIntoView({ block: "center" });
      const given = text.split(",");
      this.set(Object.fromEntries(KEYS.map((key, k) => [key, NUMBERS.includes(key) ? Number(given[k] || NaN) : given[k]])));
    }

    change(part) {
      this.set({ ...this.state, ...part });
      const packed = (s) => KEYS.map((key) => s[key]).join(",");
      writeHash(this.key, packed(this.state) === packed(START.imagenet) ? null : packed(this.state));
    }

    set(wanted) {
      const [state, changed] = settle(wanted);
      this.show(state);
      this.note.textContent = changed.length ? TEXT.changed(changed.map((name) => (TEXT.labels[name] || TEXT[name]).toLowerCase()).join(", ")) : "";
    }

    show(state) {
      this.state = state;
      const net = netCost(state), depths = depthsOf(state.family), name = TEXT.depthValue(state), call = line(state);
      this.family.value = state.family;
      this.depth.max = depths.length - 1;
      this.depth.value = depths.indexOf(state.depth);
      this.depth.setAttribute("aria-valuetext", name);
      this.output.textContent = name;
      const cifar = state.family === "cifar", residual = state.kind === "residual";
      const used = { kind: cifar, shortcut: cifar && residual, block: cifar && residual, width: cifar, strideIn: net.perBlock === 3 };
      for (const [field, { input, row }] of Object.entries(this.fields)) {
        row.hidden = used[field] === false;
        if (Number(input.value) !== state[field] || input.tagName === "SELECT") input.value = state[field];
      }
      this.resetButton.setAttribute("aria-disabled", KEYS.every((key) => state[key] === START.imagenet[key]));
      this.picture.replaceChildren(drawNet(net, state, name));
      this.stages.replaceChildren(stageTable(net, state));
      this.verdict.textContent = verdict(state);
      if (this.code.textContent !== call) this.said.textContent = "";
      this.code.textContent = call;
      this.table.replaceChildren(exactTable(net, state, name));
    }
  }

  function rowsOf(net, s, number) {
    return [...net.parts.map((part) => [partTitle(part, s), TEXT.shape(part.channels, part.side), number(part.parameters), number(part.macs)]),
      [TEXT.together, "", number(net.parameters), number(net.macs)]];
  }

  const exactTable = (net, s, name) => table(TEXT.exactCaption(name), TEXT.head, rowsOf(net, s, exact));

  /* The stage table; behind a number lies a bar, its share of the whole. */
  function stageTable(net, s) {
    const made = table(TEXT.tableCaption, TEXT.head, rowsOf(net, s, short));
    net.parts.forEach((part, k) => {
      const [, parameters, macs] = made.tBodies[0].rows[k].querySelectorAll("td");
      parameters.style.setProperty("--share", `${100 * part.parameters / net.parameters}%`);
      macs.style.setProperty("--share", `${100 * part.macs / net.macs}%`);
    });
    return made;
  }

  /* From the top: a band for each part, as wide as the map's side (square root), a box for each block, a blue arc for
     each shortcut and a square on it where it is a projection. */
  function drawNet(net, s, name) {
    const axis = 84, most = Math.sqrt(s.size), residual = s.kind === "residual";
    const svg = drawn("svg", { role: "img", fill: "none", stroke: "currentColor", "stroke-width": 1.2, "font-size": 14 });
    svg.setAttribute("aria-label", TEXT.picture(name, net.parts.map((part) => `${partTitle(part, s)}, ${TEXT.shape(part.channels, part.side)}`).join("; ")));
    const put = (tag, attributes, text) => svg.append(drawn(tag, attributes, text));
    const word = (y, text, more = {}) => put("text", { x: 172, y, fill: "currentColor", stroke: "none", ...more }, text);
    const half = (side) => Math.max(4, 70 * Math.sqrt(side || 0) / most);
    let y = 20;
    put("text", { x: axis, y: 12, "text-anchor": "middle", fill: "currentColor", stroke: "none" }, TEXT.shape(s.channels, s.size));
    for (const part of net.parts) {
      const shown = Math.min(part.blocks, DRAWN) || 1, high = part.blocks ? Math.max(10, Math.min(24, 96 / shown)) : 22;
      const w = half(part.side), top = y;
      for (let k = 0; k < shown; k += 1) {
        const dots = part.blocks > DRAWN && k === DRAWN - 2;
        if (dots) put("text", { x: axis, y: y + high / 2 + 3, "text-anchor": "middle", fill: "currentColor", stroke: "none" }, "⋯");
        else {
          put("rect", { x: axis - w, y: y + 1.5, width: 2 * w, height: high - 3, rx: 2, class: part.blocks ? `rn-net-block rn-net-${s.kind}` : "rn-net-part" });
          if (part.blocks && residual) arc(svg, axis + w, y, high, projected(part, s, k));
        }
        y += high;
      }
      const middle = (top + y) / 2;
      word(part.side === null ? middle + 4 : middle - 3, part.side === null ? `${partTitle(part, s)}: ${part.channels}` : partTitle(part, s));
      if (part.side !== null) word(middle + 13, TEXT.shape(part.channels, part.side), { class: "rn-net-shape" });
      y += part.side === null ? 4 : part.blocks ? 10 : 14;
    }
    svg.setAttribute("viewBox", `0 0 300 ${y}`);
    return svg;
  }

  const projected = (part, s, k) => s.shortcut === "C" || (s.shortcut === "B" && k === 0 && part.projections > 0);

  function arc(svg, x, y, high, projection) {
    const out = x + Math.min(16, high);
    svg.append(drawn("path", { d: `M${x} ${y + 2}C${out} ${y + 2} ${out} ${y + high - 2} ${x} ${y + high - 2}`, class: "rn-net-arc" }));
    if (projection) svg.append(drawn("rect", { x: x + 0.75 * (out - x) - 3, y: y + high / 2 - 3, width: 6, height: 6, class: "rn-net-projection" }));
  }

  globalThis.NetBuilder = Object.assign(NetBuilder, { verdict, TEXT });
  define("net-builder", NetBuilder);
})();
