"""How long the digit net takes in a page: python tools/web/bench_digitnet.py

Prints the median time of one classification (placing, forward pass, softmax) in Chromium and, where it is there, Node.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from site_browser import browser, served

ROOT = Path(__file__).resolve().parents[2]
RUNS = 200
MEASURE = """
((data, runs) => {
  const net = DigitNet.load(data), side = 56, ink = new Float32Array(side * side), times = [];
  for (let k = 0; k < ink.length; k++) ink[k] = Math.abs(k % side - 28) < 4 && Math.abs(k / side - 28) < 22 ? 1 : 0;
  for (let k = 0; k < runs; k++) {
    const start = performance.now();
    DigitNet.softmax(DigitNet.logits(net, DigitNet.place(ink, side)));
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return [times[0], times[runs >> 1], times[Math.floor(0.95 * runs)]];
})
"""


def show(where: str, found: list) -> None:
    least, median, most = found
    print(f"{where}: median {median:.1f} ms, least {least:.1f}, 95th percentile {most:.1f}, n = {RUNS}")


def main() -> None:
    part = ROOT / "web" / "elements" / "digitnet.js"
    data = (ROOT / "data" / "lesions" / "digits.json").read_text(encoding="utf-8")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; the first runs, before compilation, are counted")
    with browser() as chromium, served(ROOT / "web" / "elements") as base:
        page = chromium.new_page()
        page.goto(base)
        page.add_script_tag(content=part.read_text(encoding="utf-8"))
        show(f"Chromium {chromium.version}", page.evaluate(f"{MEASURE}({data}, {RUNS})"))
    if node := shutil.which("node"):
        script = f'require({json.dumps(str(part))}); console.log(JSON.stringify({MEASURE}({data}, {RUNS})))'
        done = subprocess.run([node], input=script, capture_output=True, text=True, check=True)
        show("Node", json.loads(done.stdout))


if __name__ == "__main__":
    main()
