/* What charts share: ticks, linear and logarithmic scales, numbers in words, labels that do not lie on each other.
   A part, not an element; it needs no page.  Classic script: one name on globalThis. */
(function () {
  "use strict";

  const GRAINS = [1, 2, 5];

  /* Round numbers from 0 to the first one at or above `most`, about `count` of them. */
  function linearTicks(most, count = 5) {
    if (!(most > 0)) return [0, 1];
    const power = 10 ** Math.floor(Math.log10(most / count));
    const step = [1, 2, 5, 10].map((g) => g * power).find((s) => s * count >= most * (1 - 1e-9));
    return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, k) => Number((k * step).toPrecision(12)));
  }

  /* Powers of ten within [low, high]; with their 2- and 5-folds, or round steps, where there are few. */
  function logTicks(low, high) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const powers = Array.from({ length: last - first + 1 }, (_, k) => first + k);
    const within = (list) => list.filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
    const tens = within(powers.map((p) => Number(`1e${p}`)));
    if (tens.length > 2) return tens.length > 6 ? tens.filter((_, k) => k % Math.ceil(tens.length / 6) === 0) : tens;
    const some = within(powers.flatMap((p) => GRAINS.map((g) => Number(`${g}e${p}`))));
    if (some.length > 2) return some;
    return linearTicks(high, 4 * high / (high - low)).filter((v) => v >= low && v <= high);
  }

  /* value -> place between a (at low) and b (at high); null where a logarithmic axis has no place. */
  function scale(low, high, a, b, logarithmic) {
    const place = logarithmic ? (v) => Math.log(v / low) / Math.log(high / low) : (v) => (v - low) / (high - low);
    return (v) => (v === null || (logarithmic && v <= 0) ? null : a + (b - a) * place(v));
  }

  /* Places at least `gap` apart, in the given order of the wanted ones, within [top, bottom] if there is room. */
  function apart(wanted, gap, top, bottom) {
    const order = wanted.map((_, k) => k).sort((i, j) => wanted[i] - wanted[j]);
    const placed = [];
    let at = -Infinity;
    for (const k of order) placed[k] = at = Math.max(wanted[k], at + gap, top);
    let limit = bottom;
    for (const k of order.reverse()) {
      placed[k] = Math.min(placed[k], limit);
      limit = placed[k] - gap;
    }
    return placed;
  }

  /* Digits behind the point for a fraction in per cent: one from 10 % on, three below 0.1 %. */
  function percentDigits(value) {
    const size = Math.abs(value);
    return size >= 0.0995 ? 1 : size >= 0.000995 || size === 0 ? 2 : 3;
  }
  const percent = (value, digits = percentDigits(value)) => `${(100 * value).toFixed(digits)}`;
  const grouped = (n) => Math.round(n).toLocaleString("en-US");
  const plainly = (value) => value === 0 || (Math.abs(value) < 1e5 && Math.abs(value) >= 1e-3);
  const significant = (value) => (plainly(value) ? String(Number(value.toPrecision(4))) : value.toExponential(2));
  /* A number that is no fraction, with three digits or more, and its spread to the same place or, where that shows
     zeros, with its power of ten. */
  function withSpread(value, spread) {
    if (!plainly(value)) return `${value.toExponential(2)} ± ${spread.toExponential(1)}`;
    const power = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
    const digits = Math.max(0, (power < 0 ? 2 : 3) - power), rounded = spread.toFixed(digits);
    return `${value.toFixed(digits)} ± ${spread === 0 || Number(rounded) ? rounded : spread.toExponential(1)}`;
  }

  globalThis.BookScales = { linearTicks, logTicks, scale, apart, percent, percentDigits, grouped, significant, withSpread };
})();
