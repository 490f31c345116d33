/* The forward pass of a small residual net for digits (nets.cifar_resnet without batch norm, shortcuts A), and the
   placing of a drawing as MNIST's were placed.  A part, not an element: a script asks for it with "needs: digitnet".
   Weights are int8 with one scale a channel; batch norm is folded into them (resnet_lib/lab/quantize.py).  Nothing here
   needs a page, so Node and the tests run the same file. */
(function () {
  "use strict";

  const FIELD = 28, BOX = 20;
  const INK = 0.1; // below this a cell counts as paper when the drawing's edges are looked for

  function bytes(base64) {
    const text = atob(base64), made = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) made[i] = text.charCodeAt(i);
    return made;
  }

  const floats = (base64) => new Float32Array(bytes(base64).buffer);

  /* {channels in, channels out, kernel, stride} of every layer with weights, in order. */
  function shapes(depth, width) {
    const perStage = (depth - 2) / 6, layers = [{ from: 1, to: width, kernel: 3, stride: 1 }];
    let from = width;
    for (let k = 0; k < 3 * perStage; k++) {
      const to = width * 2 ** Math.floor(k / perStage);
      const stride = to > from ? 2 : 1;
      layers.push({ from, to, kernel: 3, stride }, { from: to, to, kernel: 3, stride: 1 });
      from = to;
    }
    layers.push({ from, to: 10, kernel: 1, stride: 1 });
    return layers;
  }

  /* What the page's data hold -> layers with float weights. */
  function load({ depth, width, weights, scales, biases }) {
    const q = new Int8Array(bytes(weights).buffer), s = floats(scales), b = floats(biases);
    const layers = shapes(depth, width);
    let at = 0, channel = 0;
    for (const layer of layers) {
      const each = layer.from * layer.kernel ** 2;
      layer.weight = new Float32Array(layer.to * each);
      for (let i = 0; i < layer.weight.length; i++) layer.weight[i] = q[at + i] * s[channel + Math.floor(i / each)];
      layer.bias = b.slice(channel, channel + layer.to);
      at += layer.weight.length;
      channel += layer.to;
    }
    if (at !== q.length || channel !== s.length || channel !== b.length) throw new Error("weights of another net");
    return { layers, blocks: (layers.length - 2) / 2 };
  }

  /* 3x3 convolution with padding 1 and bias.  x: channels of side x side, one after the other. */
  function convolve(x, side, layer) {
    const { from, to, stride, weight, bias } = layer;
    const wide = side + 2, out = Math.ceil(side / stride), area = out * out;
    const padded = new Float32Array(from * wide * wide);
    for (let c = 0; c < from; c++) {
      for (let y = 0; y < side; y++) {
        const start = (c * side + y) * side;
        padded.set(x.subarray(start, start + side), (c * wide + y + 1) * wide + 1);
      }
    }
    const made = new Float32Array(to * area);
    for (let o = 0; o < to; o++) {
      const plane = made.subarray(o * area, (o + 1) * area).fill(bias[o]);
      for (let row = 0; row < 3 * from; row++) { // three weights side by side at a time
        const [left, middle, right] = weight.subarray(3 * (o * 3 * from + row), 3 * (o * 3 * from + row) + 3);
        const c = Math.floor(row / 3), ky = row % 3;
        for (let y = 0; y < out; y++) {
          const source = (c * wide + y * stride + ky) * wide, target = y * out;
          for (let i = 0, at = source; i < out; i++, at += stride) {
            plane[target + i] += left * padded[at] + middle * padded[at + 1] + right * padded[at + 2];
          }
        }
      }
    }
    return made;
  }

  /* Option A: every second pixel, and zeros for the channels that are new. */
  function shortcut(x, side, { from, to, stride }) {
    if (stride === 1) return x;
    const out = side / 2, made = new Float32Array(to * out * out);
    for (let c = 0; c < from; c++) {
      for (let y = 0; y < out; y++) {
        for (let i = 0; i < out; i++) made[(c * out + y) * out + i] = x[(c * side + 2 * y) * side + 2 * i];
      }
    }
    return made;
  }

  function rectify(x) {
    for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
    return x;
  }

  /* Ten logits for 784 pixels in [0, 1].  removed(k): whether the branch of block k (from 0) is taken out. */
  function logits(net, pixels, removed = () => false) {
    let side = FIELD, x = rectify(convolve(pixels, side, net.layers[0]));
    for (let k = 0; k < net.blocks; k++) {
      const first = net.layers[1 + 2 * k], second = net.layers[2 + 2 * k];
      const sum = shortcut(x, side, first).slice(), next = side / first.stride;
      if (!removed(k)) {
        const branch = convolve(rectify(convolve(x, side, first)), next, second);
        for (let i = 0; i < sum.length; i++) sum[i] += branch[i];
      }
      x = rectify(sum);
      side = next;
    }
    const { from, to, weight, bias } = net.layers[net.layers.length - 1], area = side * side;
    const mean = Array.from({ length: from }, (_, c) => x.subarray(c * area, (c + 1) * area).reduce((a, b) => a + b) / area);
    return Array.from({ length: to }, (_, o) => mean.reduce((sum, value, c) => sum + weight[o * from + c] * value, bias[o]));
  }

  function softmax(values) {
    const most = Math.max(...values), powers = values.map((v) => Math.exp(v - most));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((p) => p / sum);
  }

  /* How much of the interval [a, b) lies in cell i. */
  const overlap = (i, a, b) => Math.max(0, Math.min(i + 1, b) - Math.max(i, a));

  /* A drawing (side x side, ink in [0, 1]) as 28 x 28 pixels: its bounding box scaled to fit 20 x 20 with its
     proportions, each pixel the mean of what it covers, then moved by whole pixels until the center of mass lies in
     pixel 14 of 0 to 27 each way: so it does in MNIST's files, within half a pixel.  null where there is no ink. */
  function place(ink, side) {
    let [left, top, right, bottom] = [side, side, 0, 0];
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        if (ink[y * side + x] <= INK) continue;
        [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
      }
    }
    if (right <= left) return null;
    const scale = BOX / Math.max(right - left, bottom - top);
    const w = Math.max(1, Math.round((right - left) * scale)), h = Math.max(1, Math.round((bottom - top) * scale));
    const stepX = (right - left) / w, stepY = (bottom - top) / h, small = new Float32Array(w * h);
    let mass = 0, massX = 0, massY = 0;
    for (let v = 0; v < h; v++) {
      for (let u = 0; u < w; u++) {
        const x0 = left + u * stepX, y0 = top + v * stepY;
        let sum = 0;
        for (let y = Math.floor(y0); y < y0 + stepY && y < side; y++) {
          for (let x = Math.floor(x0); x < x0 + stepX && x < side; x++) {
            sum += ink[y * side + x] * overlap(x, x0, x0 + stepX) * overlap(y, y0, y0 + stepY);
          }
        }
        const value = sum / (stepX * stepY);
        small[v * w + u] = value;
        mass += value;
        massX += value * u;
        massY += value * v;
      }
    }
    const clamp = (n, most) => Math.min(Math.max(n, 0), most);
    const dx = clamp(Math.round(FIELD / 2 - massX / mass), FIELD - w), dy = clamp(Math.round(FIELD / 2 - massY / mass), FIELD - h);
    const pixels = new Float32Array(FIELD * FIELD);
    for (let v = 0; v < h; v++) pixels.set(small.subarray(v * w, (v + 1) * w), (v + dy) * FIELD + dx);
    return pixels;
  }

  globalThis.DigitNet = { load, logits, softmax, place, FIELD };
})();
