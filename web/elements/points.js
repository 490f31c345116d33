/* The points of <residual-playground>: what its nets are trained on, and where a page draws what they compute.  The
   whole script is one function, because it is also a part of a Blob worker's text (engine.js).  Classic script: one
   name on globalThis, nothing imported. */
(function points() {
  "use strict";

  const GRID = 40; // points along a side of the drawn square
  const DATA = ["spirals", "circles", "xor", "curve"];

  /* mulberry32: small, and the same numbers in every browser. */
  function random(seed) {
    let state = (seed + 1) * 0x9e3779b1 | 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }

  /* n points: inputs feature after feature, targets 0 or 1, or real numbers for the curve.  Always the same ones. */
  function makeData(name, n = 256, Float = Float32Array) {
    const { uniform, normal } = random(2015);
    const inputs = name === "curve" ? 1 : 2;
    const x = new Float(inputs * n), t = new Float(n);
    for (let p = 0; p < n; p++) {
      const label = p % 2, along = (p - label) / (n - 2);
      if (name === "curve") {
        x[p] = 2 * p / (n - 1) - 1;
        t[p] = Math.sin(3 * Math.PI * x[p]) + 0.05 * normal();
        continue;
      }
      t[p] = label;
      let at;
      if (name === "spirals") {
        const angle = 3 * Math.PI * along + Math.PI * label, radius = 0.1 + 0.85 * along;
        at = [radius * Math.cos(angle) + 0.015 * normal(), radius * Math.sin(angle) + 0.015 * normal()];
      } else if (name === "circles") {
        const angle = 2 * Math.PI * uniform(), radius = (label ? 0.75 : 0) + (label ? 0.2 : 0.5) * Math.sqrt(uniform());
        at = [radius * Math.cos(angle), radius * Math.sin(angle)];
      } else {
        const side = uniform() < 0.5 ? -1 : 1, a = 0.08 + 0.87 * uniform(), b = 0.08 + 0.87 * uniform();
        at = [side * a, (label ? -side : side) * b];
      }
      x[p] = at[0];
      x[n + p] = at[1];
    }
    return { name, inputs, n, x, t, task: name === "curve" ? "regression" : "classification" };
  }

  /* The points at which a page draws what a net computes: a line, or a square grid from above, row after row. */
  function makeGrid(inputs, side) {
    if (inputs === 1) return Float32Array.from({ length: side * 4 }, (_, k) => 2.2 * k / (side * 4 - 1) - 1.1);
    const at = (k) => 2.2 * (k + 0.5) / side - 1.1;
    return Float32Array.from({ length: 2 * side * side }, (_, k) =>
      (k < side * side ? at(k % side) : -at(Math.floor((k - side * side) / side))));
  }

  globalThis.PlaygroundPoints = { random, makeData, makeGrid, DATA, GRID, source: `(${points})();` };
})();
