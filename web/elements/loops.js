/* The loops in which the playground's time goes: layers, activations, and two numbers about a tensor.  Tensors lie
   feature after feature, the points of one feature beside each other, so that the inner loops are long and walk through
   memory.  The whole script is one function, because it is also a part of a Blob worker's text (engine.js).  Classic
   script: one name on globalThis, nothing imported. */
(function loops() {
  "use strict";

  /* out[o] = bias + sum over i of coefficient(o, i) x[i], for all points.  Coefficients are weights[at + o rs + i cs]:
     a layer forward, or with the strides exchanged its transpose.  bias < 0: none.  Two outputs and four points at a
     time, so that a number once loaded is used several times; the last group may overlap the one before it. */
  function combine(out, x, weights, at, rs, cs, ins, outs, n, bias) {
    for (let o = 0; o < outs; o += 2) {
      const o2 = Math.min(o + 1, outs - 1), row = at + o * rs, row2 = at + o2 * rs;
      const b = bias < 0 ? 0 : weights[bias + o], b2 = bias < 0 ? 0 : weights[bias + o2];
      for (let block = 0; block < n; block += 4) {
        const p = Math.min(block, n - 4);
        let s0 = b, s1 = b, s2 = b, s3 = b, t0 = b2, t1 = b2, t2 = b2, t3 = b2;
        for (let i = 0, a = p, q = 0; i < ins; i++, a += n, q += cs) {
          const c = weights[row + q], c2 = weights[row2 + q];
          const x0 = x[a], x1 = x[a + 1], x2 = x[a + 2], x3 = x[a + 3];
          s0 += c * x0; s1 += c * x1; s2 += c * x2; s3 += c * x3;
          t0 += c2 * x0; t1 += c2 * x1; t2 += c2 * x2; t3 += c2 * x3;
        }
        const s = o * n + p, t = o2 * n + p;
        out[s] = s0; out[s + 1] = s1; out[s + 2] = s2; out[s + 3] = s3;
        out[t] = t0; out[t + 1] = t1; out[t + 2] = t2; out[t + 3] = t3;
      }
    }
  }

  /* grad[o, i] = sum over the points of d[o] x[i], two by four at a time; with a bias also the sum of d[o]. */
  function weightGradient(grad, at, d, x, ins, outs, n, bias) {
    const end = ins - 1;
    for (let o = 0; o < outs; o += 2) {
      const o2 = Math.min(o + 1, outs - 1);
      for (let i = 0; i < ins; i += 4) {
        const i1 = Math.min(i + 1, end), i2 = Math.min(i + 2, end), i3 = Math.min(i + 3, end);
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        for (let p = 0, u = o * n, v = o2 * n, a = i * n, b = i1 * n, c = i2 * n, e = i3 * n; p < n; p++) {
          const d1 = d[u + p], d2 = d[v + p], x0 = x[a + p], x1 = x[b + p], x2 = x[c + p], x3 = x[e + p];
          s0 += d1 * x0; s1 += d1 * x1; s2 += d1 * x2; s3 += d1 * x3;
          t0 += d2 * x0; t1 += d2 * x1; t2 += d2 * x2; t3 += d2 * x3;
        }
        const s = at + o * ins, t = at + o2 * ins;
        grad[s + i] = s0; grad[s + i1] = s1; grad[s + i2] = s2; grad[s + i3] = s3;
        grad[t + i] = t0; grad[t + i1] = t1; grad[t + i2] = t2; grad[t + i3] = t3;
      }
    }
    if (bias < 0) return;
    for (let o = 0; o < outs; o++) {
      let sum = 0;
      for (let p = o * n; p < (o + 1) * n; p++) sum += d[p];
      grad[bias + o] = sum;
    }
  }

  function activate(kind, a, h, size) {
    if (kind === "relu") for (let k = 0; k < size; k++) h[k] = a[k] <= 0 ? 0 : a[k]; // NaN stays NaN
    else if (kind === "tanh") for (let k = 0; k < size; k++) h[k] = Math.tanh(a[k]);
    else if (kind === "silu") for (let k = 0; k < size; k++) h[k] = a[k] / (1 + Math.exp(-a[k]));
    else for (let k = 0; k < size; k++) h[k] = a[k];
  }

  /* d becomes d times the derivative of the activation. */
  function activateBack(kind, a, h, d, size) {
    if (kind === "relu") {
      for (let k = 0; k < size; k++) if (a[k] <= 0) d[k] = 0;
    } else if (kind === "tanh") {
      for (let k = 0; k < size; k++) d[k] *= 1 - h[k] * h[k];
    } else if (kind === "silu") {
      for (let k = 0; k < size; k++) {
        const sigmoid = 1 / (1 + Math.exp(-a[k]));
        d[k] *= sigmoid * (1 + a[k] * (1 - sigmoid));
      }
    }
  }

  /* Standard deviation over the points, root mean square over the features. */
  function spread(y, w, n) {
    let total = 0;
    for (let f = 0; f < w; f++) {
      let mean = 0;
      for (let p = 0; p < n; p++) mean += y[f * n + p] / n;
      for (let p = 0; p < n; p++) total += (y[f * n + p] - mean) ** 2;
    }
    return Math.sqrt(total / (w * n));
  }

  /* One minus the mean cosine similarity of two different points.  For unit vectors that is the sum of their squared
     distances from their mean over n - 1, which loses nothing when all point the same way.  A point at zero has no
     direction; its cosine with all others counts as zero. */
  function angle(y, w, n) {
    const unit = new Float64Array(w * n);
    let zeros = 0;
    for (let p = 0; p < n; p++) {
      let squares = 0;
      for (let f = 0; f < w; f++) squares += y[f * n + p] ** 2;
      if (squares) for (let f = 0; f < w; f++) unit[f * n + p] = y[f * n + p] / Math.sqrt(squares);
      else zeros++;
    }
    return spread(unit, w, n) ** 2 * w * n / (n - 1) + zeros / n;
  }

  globalThis.PerceptronLoops = { combine, weightGradient, activate, activateBack, spread, angle, source: `(${loops})();` };
})();
