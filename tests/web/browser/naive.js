/* The engine's mathematics once more as plain nested loops over lists of points, for tools/web/bench_playground.py: batch
   normalization, ReLU, identity skip or none, scale 1, SGD with momentum.  Not part of the site. */
(function () {
  "use strict";

  const zeros = (rows, cols) => Array.from({ length: rows }, () => new Array(cols).fill(0));

  /* Takes its parameters from an engine's net: {name: rows of numbers}. */
  class NaiveNet {
    constructor(net) {
      const { data, spec } = net;
      this.spec = spec;
      this.points = Array.from({ length: data.n }, (_, p) => Array.from({ length: data.inputs }, (_, f) => data.x[f * data.n + p]));
      this.targets = [...data.t];
      this.theta = {};
      this.grad = {};
      this.velocity = {};
      for (const { name, at, rows, cols } of net.parts) {
        this.theta[name] = Array.from({ length: rows }, (_, r) => [...net.theta.subarray(at + r * cols, at + (r + 1) * cols)]);
        this.velocity[name] = zeros(rows, cols);
      }
    }

    layer(name, x) {
      const w = this.theta[`${name}.weight`], b = this.theta[`${name}.bias`];
      return x.map((point) => w.map((row, o) => {
        let sum = b ? b[0][o] : 0;
        for (let i = 0; i < row.length; i++) sum += row[i] * point[i];
        return sum;
      }));
    }

    layerBack(name, x, d) {
      const w = this.theta[`${name}.weight`], g = zeros(w.length, w[0].length), back = zeros(x.length, w[0].length);
      for (let p = 0; p < x.length; p++) {
        for (let o = 0; o < w.length; o++) {
          for (let i = 0; i < w[0].length; i++) {
            g[o][i] += d[p][o] * x[p][i];
            back[p][i] += w[o][i] * d[p][o];
          }
        }
      }
      this.grad[`${name}.weight`] = g;
      if (this.theta[`${name}.bias`]) this.grad[`${name}.bias`] = [w.map((_, o) => d.reduce((sum, row) => sum + row[o], 0))];
      return back;
    }

    enter(name, x) {
      const n = x.length, [gamma, beta] = this.theta[name], xhat = zeros(n, gamma.length), inverse = [], h = zeros(n, gamma.length);
      for (let f = 0; f < gamma.length; f++) {
        let mean = 0, variance = 0;
        for (let p = 0; p < n; p++) mean += x[p][f] / n;
        for (let p = 0; p < n; p++) variance += (x[p][f] - mean) ** 2 / n;
        inverse.push(1 / Math.sqrt(variance + 1e-5));
        for (let p = 0; p < n; p++) {
          xhat[p][f] = (x[p][f] - mean) * inverse[f];
          h[p][f] = Math.max(gamma[f] * xhat[p][f] + beta[f], 0);
        }
      }
      return { xhat, inverse, h };
    }

    enterBack(name, { xhat, inverse, h }, d) {
      const n = d.length, [gamma] = this.theta[name], g = zeros(2, gamma.length), back = zeros(n, gamma.length);
      for (let f = 0; f < gamma.length; f++) {
        for (let p = 0; p < n; p++) {
          if (h[p][f] <= 0) continue;
          g[0][f] += d[p][f] * xhat[p][f];
          g[1][f] += d[p][f];
        }
        for (let p = 0; p < n; p++) {
          const here = h[p][f] > 0 ? d[p][f] : 0;
          back[p][f] = gamma[f] * inverse[f] * (here - g[1][f] / n - xhat[p][f] * g[0][f] / n);
        }
      }
      this.grad[name] = g;
      return back;
    }

    /* One step; returns the loss before it. */
    train() {
      const skip = this.spec.skip === "identity", n = this.points.length, kept = [];
      let y = this.layer("stem", this.points);
      for (let l = 0; l < this.spec.blocks; l++) {
        const first = this.enter(`${l}.norm1`, y), second = this.enter(`${l}.norm2`, this.layer(`${l}.layer1`, first.h));
        const f = this.layer(`${l}.layer2`, second.h);
        kept.push([first, second]);
        y = skip ? f.map((row, p) => row.map((v, k) => v + y[p][k])) : f;
      }
      const last = this.enter("last.norm", y), z = this.layer("head", last.h);
      let loss = 0;
      const out = z.map(([v], p) => {
        const t = this.targets[p];
        loss += (Math.max(v, 0) - v * t + Math.log1p(Math.exp(-Math.abs(v)))) / n;
        return [(1 / (1 + Math.exp(-v)) - t) / n];
      });
      let d = this.enterBack("last.norm", last, this.layerBack("head", last.h, out));
      for (let l = this.spec.blocks - 1; l >= 0; l--) {
        const [first, second] = kept[l];
        const inner = this.enterBack(`${l}.norm2`, second, this.layerBack(`${l}.layer2`, second.h, d));
        const back = this.enterBack(`${l}.norm1`, first, this.layerBack(`${l}.layer1`, first.h, inner));
        d = skip ? back.map((row, p) => row.map((v, k) => v + d[p][k])) : back;
      }
      this.layerBack("stem", this.points, d);
      for (const [name, rows] of Object.entries(this.theta)) {
        rows.forEach((row, r) => row.forEach((_, c) => {
          this.velocity[name][r][c] = 0.9 * this.velocity[name][r][c] + this.grad[name][r][c];
          row[c] -= this.spec.rate * this.velocity[name][r][c];
        }));
      }
      return loss;
    }
  }

  globalThis.NaiveNet = NaiveNet;
})();
