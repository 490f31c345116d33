/* What a ResNet costs: shapes, parameters and multiply–adds of the nets that resnet_lib.nets builds, from formulas.
   tests/web/browser/test_net_builder.py compares every number with PyTorch's.  A part, not an element; it needs no page.
   Classic script: one name on globalThis. */
(function () {
  "use strict";

  // depth -> convolutions a block on the branch, blocks per stage; He et al. 2015, Table 1
  const IMAGENET = { 18: [2, [2, 2, 2, 2]], 34: [2, [3, 4, 6, 3]], 50: [3, [3, 4, 6, 3]], 101: [3, [3, 4, 23, 3]], 152: [3, [3, 8, 36, 3]] };
  const IMAGENET_DEPTHS = Object.keys(IMAGENET).map(Number);
  const CIFAR_DEPTHS = [...Array.from({ length: 18 }, (_, k) => 6 * (k + 1) + 2), 164, 1202];
  const LIMITS = { size: [1, 1024], width: [1, 256], channels: [1, 64], classes: [1, 10000] };
  const CHOICES = { strideIn: ["3x3", "1x1"], kind: ["residual", "plain"], shortcut: ["A", "B", "C"], block: ["post", "pre"] };
  const START = {
    imagenet: { family: "imagenet", depth: 50, size: 224, channels: 3, classes: 1000, strideIn: "3x3", kind: "residual", shortcut: "B", width: 64, block: "post" },
    cifar: { family: "cifar", depth: 20, size: 32, channels: 3, classes: 10, strideIn: "3x3", kind: "residual", shortcut: "A", width: 16, block: "post" },
  };

  /* Every padding here keeps the map, every stride 2 halves it and rounds up. */
  const halved = (side) => Math.ceil(side / 2);

  /* Adds up what the layers cost that one part is made of; side: of the map where it is now. */
  class Part {
    constructor(name, channels, side, blocks = 0) {
      Object.assign(this, { name, channels, side, blocks, parameters: 0, macs: 0, projections: 0 });
    }

    conv(from, to, kernel, side) {
      const weights = kernel * kernel * from * to;
      this.parameters += weights;
      this.macs += weights * side * side;
    }

    norm(channels) { this.parameters += 2 * channels; }

    shortcut(option, from, to, stride, side, norm) {
      if (option === "C" || (option === "B" && (stride === 2 || from !== to))) {
        this.projections += 1;
        this.conv(from, to, 1, side);
        if (norm) this.norm(to);
      }
    }
  }

  /* A stage: its first block has the stride.  `from` is what comes in, `width` the channels of the 3×3. */
  function stage(name, net, from, width, blocks, stride, side) {
    const bottleneck = net.perBlock === 3, to = bottleneck ? 4 * width : width;
    const after = stride === 2 ? halved(side) : side;
    const part = new Part(name, to, after, blocks);
    for (let k = 0; k < blocks; k += 1) {
      const into = k === 0 ? from : to, s = k === 0 ? stride : 1, before = k === 0 ? side : after;
      if (bottleneck) {
        const middle = s === 2 && net.strideIn === "3x3" ? before : after;
        part.conv(into, width, 1, middle);
        part.conv(width, width, 3, after);
        part.conv(width, to, 1, after);
        [width, width, to].forEach((c) => part.norm(c));
      } else {
        part.conv(into, to, 3, after);
        part.conv(to, to, 3, after);
        [net.block === "pre" ? into : to, to].forEach((c) => part.norm(c));
      }
      if (net.kind === "residual") part.shortcut(net.shortcut, into, to, s, after, net.block === "post");
    }
    return part;
  }

  /* All parts of a net, in order, and their sums.  setting: as START. */
  function netCost(setting) {
    const { family, depth, size, channels, classes, width, block } = setting;
    const imagenet = family === "imagenet";
    const [perBlock, blocks] = imagenet ? IMAGENET[depth] : [2, Array(3).fill((depth - 2) / 6)];
    const net = { ...setting, perBlock };
    const stem = new Part("conv1", width, imagenet ? halved(size) : size);
    stem.conv(channels, width, imagenet ? 7 : 3, stem.side);
    if (block === "post") stem.norm(width);
    const parts = [stem];
    let side = stem.side, from = width;
    if (imagenet) parts.push(new Part("maxpool", width, side = halved(side)));
    blocks.forEach((n, k) => {
      const made = stage(`layer${k + 1}`, net, from, width * 2 ** k, n, k === 0 ? 1 : 2, side);
      parts.push(made);
      side = made.side;
      from = made.channels;
    });
    const head = new Part("fc", classes, null);
    if (block === "pre") head.norm(from);
    head.parameters += from * classes + classes;
    head.macs += from * classes;
    parts.push(head);
    const sum = (key) => parts.reduce((total, part) => total + part[key], 0);
    return { parts, perBlock, features: from, parameters: sum("parameters"), macs: sum("macs"), projections: sum("projections") };
  }

  /* The call of resnet_lib that builds it, without what is the default. */
  function line(s) {
    const word = (name, value, usual) => (value === usual ? [] : [`${name}=${typeof value === "string" ? `"${value}"` : value}`]);
    const common = (classes) => [...word("in_channels", s.channels, 3), ...word("num_classes", s.classes, classes)];
    if (s.family === "imagenet") return `nets.resnet(${[s.depth, ...common(1000), ...word("stride_in", s.strideIn, "3x3")].join(", ")})`;
    const residual = s.kind === "residual";
    return `nets.cifar_resnet(${[s.depth, ...(residual ? word("shortcut", s.shortcut, "A") : ["residual=False"]),
      ...word("width", s.width, 16), ...word("block", s.block, "post"), ...common(10)].join(", ")})`;
  }

  /* A setting that the library accepts, and the names of what had to be changed. */
  function settle(wanted) {
    const known = Object.hasOwn(START, wanted.family), family = known ? wanted.family : "imagenet";
    const usual = START[family], state = { ...usual }, changed = known ? [] : ["family"];
    const depths = family === "imagenet" ? IMAGENET_DEPTHS : CIFAR_DEPTHS;
    const keep = (name, valid, other = usual[name]) => {
      state[name] = valid ? wanted[name] : other;
      if (!valid) changed.push(name);
    };
    keep("depth", depths.includes(wanted.depth));
    for (const name of ["size", "channels", "classes", ...(family === "cifar" ? ["width"] : [])]) {
      const [least, most] = LIMITS[name], number = Number.isFinite(wanted[name]) ? Math.round(wanted[name]) : usual[name];
      keep(name, wanted[name] === number && number >= least && number <= most, Math.min(Math.max(number, least), most));
    }
    if (family === "imagenet") {
      keep("strideIn", CHOICES.strideIn.includes(wanted.strideIn));
      return [state, changed];
    }
    keep("kind", CHOICES.kind.includes(wanted.kind));
    if (state.kind === "plain") return [state, wanted.block === "pre" ? [...changed, "block"] : changed];
    for (const name of ["shortcut", "block"]) keep(name, CHOICES[name].includes(wanted[name]));
    return [state, changed];
  }

  globalThis.NetCost = { netCost, line, settle, START, LIMITS, CHOICES, IMAGENET, IMAGENET_DEPTHS, CIFAR_DEPTHS };
})();
