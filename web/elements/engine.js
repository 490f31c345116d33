/* The engine of <residual-playground>: a pre-activation multilayer perceptron on up to a few hundred points, trained
   with the whole set as one batch.  A net of L blocks and width w computes, for every point x,

     y_0 = A x,   y_l = skip(y_{l-1}) + s F_l(y_{l-1}),   F_l(y) = W2 phi(N(W1 phi(N(y)))),   z = c . phi(N(y_L)) + d

   N is batch normalization or nothing.  Without a skip this is the ordinary perceptron of 2L + 2 layers.  Layers
   followed by N have no bias, since N would take it away again; without N all have one.

   Tensors lie as loops.js says.  The whole script is one function, because a Blob worker is made from its text and those
   of its parts: a worker from a file is not allowed on file://.  Classic script: one name on globalThis.
   needs: points, loops */
(function engine() {
  "use strict";

  const { random, makeData, makeGrid, GRID } = globalThis.PlaygroundPoints;
  const { combine, weightGradient, activate, activateBack, spread, angle } = globalThis.PerceptronLoops;
  const EPS = 1e-5; // PyTorch's for batch normalization
  const SKIPS = ["none", "identity", "half", "linear"];
  const ACTIVATIONS = ["relu", "tanh", "silu", "linear"];
  const OPTIMIZERS = ["sgd", "momentum", "adam"];
  const SCALES = ["one", "sqrt", "zero"];
  const INITS = ["he", "glorot", "default"];

  /* ---- a net ------------------------------------------------------------------------------------- */

  class Net {
    /* spec: blocks, width, skip, norm, scale, init, activation, optimizer, rate, seed; data: of makeData. */
    constructor(spec, data, Float = Float32Array) {
      Object.assign(this, { spec, data, Float, step: 0, loss: NaN, fresh: false, removed: new Uint8Array(spec.blocks) });
      const w = this.width = spec.width;
      this.scale = spec.skip !== "none" && spec.scale === "sqrt" ? 1 / Math.sqrt(spec.blocks) : 1;
      this.parts = [];
      let size = 0;
      const part = (name, rows, cols) => {
        this.parts.push({ name, at: size, rows, cols });
        size += rows * cols;
        return size - rows * cols;
      };
      const norm = (name) => (spec.norm ? part(name, 2, w) : -1); // gamma, then beta
      const layer = (name, rows, cols, biased) =>
        ({ w: part(`${name}.weight`, rows, cols), b: biased ? part(`${name}.bias`, 1, rows) : -1 });
      this.stem = layer("stem", w, data.inputs, !spec.norm);
      this.blocks = Array.from({ length: spec.blocks }, (_, l) => ({
        n1: norm(`${l}.norm1`), l1: layer(`${l}.layer1`, w, w, !spec.norm),
        n2: norm(`${l}.norm2`), l2: layer(`${l}.layer2`, w, w, !spec.norm),
        skip: spec.skip === "linear" ? part(`${l}.skip`, w, w) : -1,
      }));
      this.last = norm("last.norm");
      this.head = layer("head", 1, w, true);
      this.theta = new Float(size);
      this.grad = new Float(size);
      this.first = new Float(size); // the optimizer's running means
      this.second = new Float(size);
      this.mean = new Float64Array((2 * spec.blocks + 1) * w); // of each normalization, from the training points
      this.inverse = new Float64Array((2 * spec.blocks + 1) * w);
      this.space = this.makeSpace(data.n, true);
      this.d = new Float(w * data.n);
      this.e = new Float(w * data.n);
      this.f = new Float(w * data.n);
      this.initialize();
    }

    /* Weights of F are drawn first and in the same order for every skip, so that two nets share them. */
    initialize() {
      const { init, norm, seed, scale, skip } = this.spec;
      const { uniform, normal } = random(seed);
      const draw = ({ at, rows, cols }) => {
        const bound = 1 / Math.sqrt(cols);
        const deviation = Math.sqrt(init === "he" ? 2 / cols : 2 / (rows + cols));
        for (let k = at; k < at + rows * cols; k++) {
          this.theta[k] = init === "default" ? bound * (2 * uniform() - 1) : deviation * normal();
        }
      };
      for (const part of this.parts) {
        if (part.name.endsWith(".weight")) draw(part);
        else if (part.name.endsWith(".bias") && init === "default") {
          const inputs = part.name === "stem.bias" ? this.data.inputs : this.width;
          for (let k = part.at; k < part.at + part.cols; k++) this.theta[k] = (2 * uniform() - 1) / Math.sqrt(inputs);
        } else if (norm && part.rows === 2) this.theta.fill(1, part.at, part.at + this.width);
      }
      for (const part of this.parts) {
        if (part.name.endsWith(".skip")) draw(part);
        else if (skip !== "none" && scale === "zero" && part.name.includes(".layer2.")) {
          this.theta.fill(0, part.at, part.at + part.rows * part.cols);
        }
      }
    }

    /* Room for the tensors of n points.  kept: every block has its own, for the way back; else all share one. */
    makeSpace(n, kept) {
      const room = () => new this.Float(this.width * n);
      const make = () => ({ y: null, xhat1: this.spec.norm ? room() : null, a1: this.spec.norm ? room() : null, h1: room(),
        u: room(), xhat2: this.spec.norm ? room() : null, a2: this.spec.norm ? room() : null, h2: room() });
      const shared = kept ? null : make();
      const streams = kept ? Array.from({ length: this.spec.blocks + 1 }, room) : [room(), room()];
      return {
        n, y: Array.from({ length: this.spec.blocks + 1 }, (_, l) => streams[l % streams.length]),
        blocks: this.blocks.map(() => shared || make()), last: shared || make(), z: new this.Float(n), extra: room(),
      };
    }

    /* xhat and a = gamma xhat + beta of the k-th normalization.  known: with the statistics of the training points. */
    normalize(k, at, x, xhat, a, n, known) {
      const { theta, mean, inverse, width } = this;
      for (let f = 0; f < width; f++) {
        const start = f * n, end = start + n;
        if (!known) {
          let sum = 0, squares = 0;
          for (let p = start; p < end; p++) sum += x[p];
          const m = sum / n;
          for (let p = start; p < end; p++) squares += (x[p] - m) * (x[p] - m);
          mean[k * width + f] = m;
          inverse[k * width + f] = 1 / Math.sqrt(squares / n + EPS);
        }
        const m = mean[k * width + f], i = inverse[k * width + f], gamma = theta[at + f], beta = theta[at + width + f];
        for (let p = start; p < end; p++) {
          const v = (x[p] - m) * i;
          xhat[p] = v;
          a[p] = gamma * v + beta;
        }
      }
    }

    /* d, the gradient at a, becomes the gradient at x. */
    normalizeBack(k, at, xhat, d, n) {
      const { theta, grad, inverse, width } = this;
      for (let f = 0; f < width; f++) {
        const start = f * n, end = start + n;
        let sum = 0, along = 0;
        for (let p = start; p < end; p++) {
          sum += d[p];
          along += d[p] * xhat[p];
        }
        grad[at + f] = along;
        grad[at + width + f] = sum;
        const c = theta[at + f] * inverse[k * width + f], m = sum / n, s = along / n;
        for (let p = start; p < end; p++) d[p] = c * (d[p] - m - s * xhat[p]);
      }
    }

    /* N and phi: from x to h. */
    enter(k, at, x, xhat, a, h, n, known) {
      if (at >= 0) this.normalize(k, at, x, xhat, a, n, known);
      activate(this.spec.activation, at >= 0 ? a : x, h, this.width * n);
    }

    enterBack(k, at, x, xhat, a, h, d, n) {
      activateBack(this.spec.activation, at >= 0 ? a : x, h, d, this.width * n);
      if (at >= 0) this.normalizeBack(k, at, xhat, d, n);
    }

    /* The outputs z for the points x in a space. */
    forward(space, x, known) {
      const { theta, width: w, spec, scale } = this, { n } = space, size = w * n;
      combine(space.y[0], x, theta, this.stem.w, this.data.inputs, 1, this.data.inputs, w, n, this.stem.b);
      this.blocks.forEach((block, l) => {
        const y = space.y[l], out = space.y[l + 1], s = space.blocks[l];
        if (this.removed[l]) out.fill(0);
        else {
          this.enter(2 * l, block.n1, y, s.xhat1, s.a1, s.h1, n, known);
          combine(s.u, s.h1, theta, block.l1.w, w, 1, w, w, n, block.l1.b);
          this.enter(2 * l + 1, block.n2, s.u, s.xhat2, s.a2, s.h2, n, known);
          combine(out, s.h2, theta, block.l2.w, w, 1, w, w, n, block.l2.b);
        }
        if (spec.skip === "linear") {
          combine(space.extra, y, theta, block.skip, w, 1, w, w, n, -1);
          for (let k = 0; k < size; k++) out[k] = scale * out[k] + space.extra[k];
        } else if (this.shortcut(l)) {
          const c = this.shortcut(l);
          for (let k = 0; k < size; k++) out[k] = scale * out[k] + c * y[k];
        }
      });
      const y = space.y[spec.blocks], s = space.last;
      this.enter(2 * spec.blocks, this.last, y, s.xhat1, s.a1, s.h1, n, known);
      combine(space.z, s.h1, theta, this.head.w, w, 1, w, 1, n, this.head.b);
      return space.z;
    }

    /* Loss and its gradient with respect to all parameters, at the present ones. */
    gradient() {
      if (this.fresh) return this.loss;
      this.fresh = true;
      const { space, data, theta, grad, width: w, spec, d } = this, { n, t } = data;
      const z = this.forward(space, data.x, false), out = new this.Float(n);
      let loss = 0;
      for (let p = 0; p < n; p++) {
        if (data.task === "regression") {
          loss += (z[p] - t[p]) ** 2;
          out[p] = 2 * (z[p] - t[p]) / n;
        } else { // cross-entropy of two classes, from the logit z
          loss += Math.max(z[p], 0) - z[p] * t[p] + Math.log1p(Math.exp(-Math.abs(z[p])));
          out[p] = (1 / (1 + Math.exp(-z[p])) - t[p]) / n;
        }
      }
      this.loss = loss / n;
      grad.fill(0);
      const last = space.last;
      weightGradient(grad, this.head.w, out, last.h1, w, 1, n, this.head.b);
      combine(d, out, theta, this.head.w, 1, w, 1, w, n, -1);
      this.enterBack(2 * spec.blocks, this.last, space.y[spec.blocks], last.xhat1, last.a1, last.h1, d, n);
      for (let l = spec.blocks - 1; l >= 0; l--) this.blockBack(l);
      weightGradient(grad, this.stem.w, d, data.x, data.inputs, w, n, this.stem.b);
      return this.loss;
    }

    /* this.d, the gradient at the output of block l, becomes the gradient at its input. */
    blockBack(l) {
      const { theta, grad, width: w, spec, scale, d, e, f, data: { n } } = this, size = w * n;
      const block = this.blocks[l], s = this.space.blocks[l], y = this.space.y[l];
      if (this.removed[l]) f.fill(0);
      else {
        for (let k = 0; k < size; k++) f[k] = scale * d[k];
        weightGradient(grad, block.l2.w, f, s.h2, w, w, n, block.l2.b);
        combine(e, f, theta, block.l2.w, 1, w, w, w, n, -1);
        this.enterBack(2 * l + 1, block.n2, s.u, s.xhat2, s.a2, s.h2, e, n);
        weightGradient(grad, block.l1.w, e, s.h1, w, w, n, block.l1.b);
        combine(f, e, theta, block.l1.w, 1, w, w, w, n, -1);
        this.enterBack(2 * l, block.n1, y, s.xhat1, s.a1, s.h1, f, n);
      }
      if (spec.skip === "linear") {
        weightGradient(grad, block.skip, d, y, w, w, n, -1);
        combine(e, d, theta, block.skip, 1, w, w, w, n, -1);
        for (let k = 0; k < size; k++) d[k] = e[k] + f[k];
      } else {
        const c = this.shortcut(l);
        for (let k = 0; k < size; k++) d[k] = f[k] + c * d[k];
      }
    }

    /* The factor of a shortcut without weights.  A plain net without its block l hands the block's input on. */
    shortcut(l) {
      return { none: this.removed[l], identity: 1, half: 0.5 }[this.spec.skip];
    }

    /* One step of the optimizer along this.grad; rules and constants are PyTorch's. */
    update() {
      const { theta, grad, first, second, spec: { optimizer, rate } } = this, size = theta.length;
      this.step += 1;
      this.fresh = false;
      if (optimizer === "sgd") for (let k = 0; k < size; k++) theta[k] -= rate * grad[k];
      else if (optimizer === "momentum") {
        for (let k = 0; k < size; k++) {
          first[k] = 0.9 * first[k] + grad[k];
          theta[k] -= rate * first[k];
        }
      } else {
        const correction = Math.sqrt(1 - 0.999 ** this.step), size1 = rate / (1 - 0.9 ** this.step);
        for (let k = 0; k < size; k++) {
          first[k] = 0.9 * first[k] + 0.1 * grad[k];
          second[k] = 0.999 * second[k] + 0.001 * grad[k] * grad[k];
          theta[k] -= size1 * first[k] / (Math.sqrt(second[k]) / correction + 1e-8);
        }
      }
    }

    /* Up to `steps` steps; the losses before each of them and after the last.  Stops where the loss is no number. */
    advance(steps) {
      const losses = [this.gradient()];
      while (steps-- > 0 && Number.isFinite(this.loss)) {
        this.update();
        losses.push(this.gradient());
      }
      return losses;
    }

    toggle(block) {
      this.removed[block] ^= 1;
      this.fresh = false;
    }

    /* Numbers per layer, at the present parameters: Frobenius norms of the gradients of the weights; and of y_0 … y_L
       the spread over the points and one minus the mean cosine similarity of two different points.  right: how many
       points are on the right side, in classification. */
    statistics() {
      this.gradient();
      const { space, grad, width: w, data: { n, t, task } } = this;
      const norm = (at, size) => Math.sqrt(grad.subarray(at, at + size).reduce((sum, g) => sum + g * g, 0));
      return {
        stem: norm(this.stem.w, w * this.data.inputs), head: norm(this.head.w, w),
        gradient1: this.blocks.map((b) => norm(b.l1.w, w * w)), gradient2: this.blocks.map((b) => norm(b.l2.w, w * w)),
        right: task === "regression" ? null : t.reduce((sum, label, p) => sum + (space.z[p] > 0 === label > 0), 0),
        spread: space.y.map((y) => spread(y, w, n)), angle: space.y.map((y) => angle(y, w, n)),
      };
    }

    /* Outputs for other points, feature after feature; probabilities of class 1 in classification. */
    predict(x) {
      const n = x.length / this.data.inputs;
      if (!this.look || this.look.n !== n) this.look = this.makeSpace(n, false);
      if (this.spec.norm) this.gradient(); // the statistics of the training points
      const z = this.forward(this.look, x, true);
      return Float32Array.from(z, this.data.task === "regression" ? (v) => v : (v) => 1 / (1 + Math.exp(-v)));
    }
  }

  /* ---- a worker: one net, one answer for each message --------------------------------------------- */

  function serve(port) {
    let net, grid;
    port.onmessage = ({ data: { id, start, steps = 0, toggle, surface } }) => {
      if (start) {
        net = new Net(start, makeData(start.data));
        grid = makeGrid(net.data.inputs, GRID);
      }
      if (toggle !== undefined) net.toggle(toggle);
      const begun = performance.now(), from = net.step;
      const losses = net.advance(steps);
      const answer = { id, from, step: net.step, losses, loss: net.loss, removed: [...net.removed] };
      if (Number.isFinite(net.loss)) {
        answer.statistics = net.statistics();
        if (surface) answer.surface = net.predict(grid);
      }
      answer.milliseconds = performance.now() - begun;
      port.postMessage(answer);
    };
  }

  globalThis.ResidualEngine = { Net, serve, SKIPS, ACTIVATIONS, OPTIMIZERS, SCALES, INITS,
    source: `${globalThis.PlaygroundPoints.source}\n${globalThis.PerceptronLoops.source}\n(${engine})();` };
})();
