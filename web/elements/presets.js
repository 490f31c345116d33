/* What <residual-playground> can be set to: the limits of each setting, the way a setting is written in an address,
   and the presets.  tests/web/test_presets.py trains every preset with five seeds and checks what its caption says.
   Classic script: one name on globalThis, works in Node.  needs: engine */
(function () {
  "use strict";

  const { SKIPS, ACTIVATIONS, OPTIMIZERS, SCALES, INITS } = globalThis.ResidualEngine;
  const { DATA } = globalThis.PlaygroundPoints;

  const TEXT = {
    labels: {
      data: "Data", blocks: "Blocks L", width: "Width w", skip: "Skip of the right-hand net", norm: "Batch normalization",
      scale: "Branch scale of the right-hand net", init: "Initial weights", activation: "Activation φ",
      optimizer: "Optimizer", rate: "Learning rate", seed: "Seed of the weights",
    },
    choices: {
      data: { spirals: "two spirals", circles: "disk and ring", xor: "four squares (xor)", curve: "a curve (regression)" },
      skip: { identity: "identity: y + F(y)", half: "halved: y/2 + F(y)", linear: "learned: V y + F(y), V a matrix", none: "none: F(y)" },
      norm: { on: "on", off: "off" },
      scale: { one: "1", sqrt: "1/√L", zero: "1, last layer of F starts at zero" },
      init: { he: "He: normal, variance 2/n, n inputs", glorot: "Glorot: normal, variance 2/(n + m), m outputs",
        default: "PyTorch's default: uniform, variance 1/(3n)" },
      activation: { relu: "ReLU", tanh: "tanh", silu: "SiLU", linear: "none (linear)" },
      optimizer: { sgd: "SGD", momentum: "SGD, momentum 0.9", adam: "Adam" },
    },
    unknown: (key) => `“${key}” is not a setting and was passed over.`,
    notOffered: (label, value) => `${label}: “${value}” is not offered and was passed over.`,
    noNumber: (label, value, kept) => `${label}: “${value}” is not a number; ${kept} stays.`,
    clamped: (label, value, low, high, became) => `${label} goes from ${low} to ${high}; ${value} became ${became}.`,
    noPreset: (name) => `There is no preset “${name}”; this is the first one.`,
    own: "your own settings",
  };

  const NUMBERS = { // low, high, whole
    blocks: [1, 60, true], width: [2, 24, true], rate: [0.00001, 10, false], seed: [0, 9999, true],
  };
  const CHOICES = {
    data: DATA, skip: SKIPS, norm: ["on", "off"], scale: SCALES, init: INITS, activation: ACTIVATIONS, optimizer: OPTIMIZERS,
  };
  const START = {
    data: "spirals", blocks: 27, width: 12, skip: "identity", norm: "on", scale: "one", init: "he", activation: "relu",
    optimizer: "adam", rate: 0.003, seed: 0,
  };

  /* `set` is what differs from START, `after` the step at which the caption holds, `first` the steps that are trained
     before any touch. */
  const PRESETS = {
    "batch-norm": {
      title: "56 layers with batch normalization", set: {}, after: 150, first: 60,
      seen: "Batch normalization keeps the spread of both nets in bounds, so nothing collapses on the way forward. The " +
        "gradients differ: at step 0 that of the plain net’s first block is more than a thousand times that of its last, " +
        "in the residual net less than a hundred times. Press Run: at step 150 the residual net’s loss is below 0.1, and " +
        "the plain net is still near 0.69, the loss of guessing (the data table keeps both).",
      ask: "Try this: reset, press Step once, and compare the gradient bars from the first block to the last. Which net " +
        "has a steeper slope?",
    },
    "signal-collapse": {
      title: "Signal collapse", set: { norm: "off", init: "default", rate: 0.001 }, after: 300, first: 60,
      seen: "Signal collapse: without normalization and with PyTorch’s default weights, the plain net’s spread shrinks from " +
        "block to block until all points look the same to the last layers (spread and 1 − cosine at the foot of the scale), " +
        "and hardly any gradient comes back. Press Run: it stays at 0.693, the loss of guessing. The residual net starts " +
        "from the same weights and is below 0.1 at step 300. This is a badly scaled start, not what He et al. call degradation.",
      ask: "Try this: at which block do the plain net’s bars reach the foot? Then turn normalization on under More.",
    },
    "growing": {
      title: "A residual signal that grows", set: { norm: "off" }, after: 0, first: 0,
      seen: "Skips do not keep a signal in bounds. With He’s weights and no normalization each branch adds to the stream; at " +
        "step 0 the spread after the last block of the residual net is more than twenty times that after the first layer, " +
        "and its loss begins above 1, where guessing has 0.69. How far above depends on the seed: try some.",
      ask: "Try this: set the branch scale to 1/√L under More. What becomes of the blue spread?",
    },
    "scaled": {
      title: "Branches scaled by 1/√L", set: { norm: "off", scale: "sqrt" }, after: 300, first: 60,
      seen: "The same net as before, each branch multiplied by 1/√L. At step 0 the residual net’s spread after the last block " +
        "is within a factor of three of that after the first layer, with no normalization anywhere. Press Run: at step " +
        "300 its loss is below 0.1.",
      ask: "Try this: set 60 blocks under More. Does the spread still stay?",
    },
    "zero-init": {
      title: "Branches that start at zero", set: { norm: "off", scale: "zero" }, after: 150, first: 0,
      seen: "The last layer of each F starts at zero, so at step 0 every block of the residual net is the identity: all its " +
        "spread bars are equal, and removing a block changes nothing. Press Run: at step 150 its loss is below 0.1 and its " +
        "blocks differ. (The plain net keeps its weights: with zeros its output would be constant.)",
      ask: "Try this: remove a block of the residual net now, then run 150 steps and remove it again.",
    },
    "shallow": {
      title: "Two blocks: no skip needed", set: { blocks: 2, optimizer: "momentum", rate: 0.05 }, after: 200, first: 60,
      seen: "Press Run: with two blocks, six layers, both nets have brought the loss below 0.02 by step 200. At this depth the " +
        "skip is not needed.",
      ask: "Try this: double the blocks until the plain net no longer follows within 200 steps.",
    },
    "halved-skip": {
      title: "A skip that halves", set: { skip: "half" }, after: 150, first: 60,
      seen: "The right-hand net adds y/2 instead of y. What passes all skips is halved 27 times. At step 0 the gradient of " +
        "its first block is more than a thousand times that of its last, as in the plain net. Press Run: at step 150 both " +
        "losses are above 0.5. This connection does not help. Why the gradient explodes although the direct path shrinks, " +
        "the chapter on residual blocks explains.",
      ask: "Try this: set the skip back to the identity under More and run again.",
    },
    "lesion": {
      title: "Remove a block", set: { blocks: 5 }, after: 150, first: 150,
      seen: "Both nets have learned the spirals. Taking any one block out of the plain net brings its loss above 0.5. " +
        "The residual net has a block whose removal costs less than any removal costs the plain net; removing its first " +
        "block costs it dearly.",
      ask: "Try this: remove the blocks of the residual net one after another and put them back. Which one matters most?",
    },
    "curve": {
      title: "A curve instead of classes", set: { data: "curve" }, after: 100, first: 60,
      seen: "Regression: sin 3πx, 256 points, mean squared error. Press Run: at step 100 the residual net’s loss is below " +
        "0.01, the plain net’s above 0.3, where a constant would give about 0.5.",
      ask: "Try this: watch which parts of the curve the residual net fits first.",
    },
  };

  const brief = (text) => (text.length > 24 ? `${text.slice(0, 24)}…` : text);

  /* One value as it may be used: {value, word}; the word says what was wrong, or is null. */
  function accept(key, raw, kept) {
    const label = TEXT.labels[key], text = String(raw).trim();
    if (CHOICES[key]) {
      return CHOICES[key].includes(text) ? { value: text, word: null } : { value: kept, word: TEXT.notOffered(label, brief(text)) };
    }
    const [low, high, whole] = NUMBERS[key], number = text === "" ? NaN : Number(text);
    if (Number.isNaN(number)) return { value: kept, word: TEXT.noNumber(label, brief(text), kept) };
    const value = Math.min(Math.max(whole ? Math.round(number) : number, low), high);
    return { value, word: value === number ? null : TEXT.clamped(label, brief(text), low, high, value) };
  }

  const settingOf = (name) => ({ ...START, ...PRESETS[name].set });

  /* The preset's name, then what differs from it: "signal-collapse,blocks:8,seed:3". */
  function pack(preset, setting) {
    const from = settingOf(preset);
    return [preset, ...Object.keys(START).filter((key) => setting[key] !== from[key]).map((key) => `${key}:${setting[key]}`)].join(",");
  }

  /* {preset, setting, words}: whatever stands in an address becomes a setting that can be run. */
  function unpack(text) {
    const words = [], [first, ...rest] = String(text).split(",");
    const pairs = first.includes(":") ? [first, ...rest] : rest;
    let preset = Object.keys(PRESETS)[0];
    if (Object.hasOwn(PRESETS, first)) preset = first;
    else if (!first.includes(":")) words.push(TEXT.noPreset(brief(first)));
    const setting = settingOf(preset);
    for (const pair of pairs) {
      const colon = pair.indexOf(":"), key = pair.slice(0, Math.max(colon, 0)), raw = pair.slice(colon + 1);
      if (!Object.hasOwn(START, key)) {
        words.push(TEXT.unknown(brief(pair)));
        continue;
      }
      const { value, word } = accept(key, raw, setting[key]);
      setting[key] = value;
      if (word) words.push(word);
    }
    return { preset, setting, words: words.slice(0, 4) };
  }

  /* What the engine takes: side 0 is the plain net, side 1 the other. */
  const specOf = (setting, side) => ({ ...setting, norm: setting.norm === "on", skip: side ? setting.skip : "none" });

  globalThis.PlaygroundPresets = { TEXT, NUMBERS, CHOICES, START, PRESETS, accept, settingOf, pack, unpack, specOf };
})();
