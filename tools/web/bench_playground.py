"""How fast the playground trains in Chromium on this machine: python tools/web/bench_playground.py

Prints medians: training steps a second of two 56-layer nets of width 12 on 256 points, each in its worker, both at
once; the ratio to plain nested loops of the same mathematics, checked equal first; and the tasks of the page's main
thread that take over 50 ms, of three visits: while the page loads and the element builds itself, and while it trains.
Nothing passes or fails by these numbers."""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from site_browser import NoBrowser, browser, file_address

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "web"))

from resnet_book import elements  # noqa: E402

SPEC = """const spec = (skip) => ({ blocks: 27, width: 12, skip, norm: true, scale: "one", init: "he",
  activation: "relu", optimizer: "momentum", rate: 0.001, seed: 0, data: "spirals" });"""

EQUAL = SPEC + """
  const worst = ["none", "identity"].map((skip) => {
    const data = PlaygroundPoints.makeData("spirals", 256, Float64Array);
    const net = new ResidualEngine.Net(spec(skip), data, Float64Array);
    const naive = new NaiveNet(net), losses = [0, 1, 2].map(() => naive.train());
    return Math.max(...net.advance(2).map((loss, k) => Math.abs(loss / losses[k] - 1)));
  });
  return Math.max(...worst);"""

# Both workers get the same number of steps at once; the time is that of the slower one.
TOGETHER = SPEC + """
  const text = `${ResidualEngine.source}\\nResidualEngine.serve(self);`;
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const workers = ["none", "identity"].map(() => new Worker(address));
  const send = (message) => Promise.all(workers.map((worker, k) => new Promise((done) => {
    worker.onmessage = () => done();
    worker.postMessage(message(k));
  })));
  await send((k) => ({ start: spec(["none", "identity"][k]) }));
  await send(() => ({ steps: 60 }));
  const rates = [];
  for (let k = 0; k < repeats; k++) {
    const begun = performance.now();
    await send(() => ({ steps: 40 }));
    rates.push(40000 / (performance.now() - begun));
  }
  workers.forEach((worker) => worker.terminate());
  return rates;"""

RATIOS = SPEC + """
  const net = new ResidualEngine.Net(spec("identity"), PlaygroundPoints.makeData("spirals")), naive = new NaiveNet(net);
  const time = (work) => { const begun = performance.now(); work(); return performance.now() - begun; };
  net.advance(40);
  for (let k = 0; k < 5; k++) naive.train();
  return Array.from({ length: repeats }, () => {
    const slow = time(() => { for (let k = 0; k < 5; k++) naive.train(); });
    return slow / time(() => net.advance(5));
  });"""

WATCH = """globalThis.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((e) => [e.startTime, e.duration])))
  .observe({ type: "longtask", buffered: true });"""


def page_of(folder, body):
    """A page that loads the element's scripts as a page of the book does: deferred, each a file."""
    known = elements.scripts(ROOT)
    scripts = [*(known[name] for name in elements.with_parts("residual-playground", known)),
               ROOT / "tests" / "web" / "browser" / "naive.js"]
    styles = [ROOT / "web" / "static" / "book.css", ROOT / "web" / "elements" / "residual-playground.css"]
    for path in (*styles, *scripts):
        shutil.copy(path, folder)
    head = "".join([*(f'<link rel="stylesheet" href="{path.name}">' for path in styles),
                    *(f'<script defer src="{path.name}"></script>' for path in scripts)])
    path = Path(folder) / "index.html"
    path.write_text(f'<!DOCTYPE html><html data-theme="light"><head><meta charset="utf-8">{head}</head>'
                    f'<body class="bd-article">{body}</body></html>', encoding="utf-8")
    return file_address(folder) + "index.html"


def opened(chromium, body, folder):
    page = chromium.new_page()
    page.add_init_script(WATCH)
    page.goto(page_of(folder, body))
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10, help="how long the element trains under watch")
    repeats = parser.parse_args()
    try:
        with browser() as chromium, tempfile.TemporaryDirectory() as folder:
            report(chromium, folder, repeats.repeats, repeats.seconds)
    except NoBrowser as problem:
        sys.exit(str(problem))


def report(chromium, folder, repeats, seconds):
    page = opened(chromium, "", folder)
    print(f"Chromium {chromium.version}, {page.evaluate('navigator.hardwareConcurrency')} threads")
    worst = page.evaluate(f"() => {{ {EQUAL} }}")
    print(f"losses of three steps, nested loops against engine in float64: {worst:.1e} apart, relative")
    rates = page.evaluate(f"async (repeats) => {{ {TOGETHER} }}", repeats)
    print(f"two 56-layer nets at once, each: {statistics.median(rates):.0f} steps/s "
          f"({min(rates):.0f} to {max(rates):.0f}, n = {repeats})")
    ratios = page.evaluate(f"(repeats) => {{ {RATIOS} }}", repeats)
    print(f"one net, nested loops against engine: {statistics.median(ratios):.1f} times the time "
          f"({min(ratios):.1f} to {max(ratios):.1f}, n = {repeats})")
    page.close()
    for visit in range(3):
        page = opened(chromium, "<residual-playground></residual-playground>", folder)
        page.wait_for_timeout(2000)
        built = page.evaluate("longTasks.splice(0)")
        page.locator(".rn-play-run").click()
        page.wait_for_timeout(1000 * seconds)
        step = page.evaluate("document.querySelector('residual-playground').pair.step()")
        print(f"visit {visit + 1}, tasks over 50 ms: {said(built)} in the first two seconds, "
              f"{said(page.evaluate('longTasks'))} while it trained to step {step}")
        page.close()


def said(tasks):
    return ", ".join(f"{duration:.0f} ms (at {start / 1000:.2f} s)" for start, duration in tasks) or "none"


if __name__ == "__main__":
    main()
