"""The recorded measurements of chapters/why_it_works.md: python tools/accounts.py (under five minutes on one core)

data/accounts/shattered.json: how alike the input gradients of untrained ReLU nets are at neighboring and at all points.
data/accounts/surfaces.json: the loss of plain-56 and residual-56, as the book trains them live, on two random planes.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from time import process_time
import argparse
import json
import sys

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from resnet_lib import experiments, machine  # noqa: E402
from resnet_lib.experiments import lookup  # noqa: E402
from resnet_lib.lab import accounts  # noqa: E402

FOLDER = ROOT / "data" / "accounts"
DEPTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 50)
DRAWS = 64
POINTS, SIDE, WIDTH = 256, 2.0, 200  # as in the paper's figures
PLANES = ((0, 1), (2, 3))  # seeds of the two directions of each
OFFSETS = tuple(round(k / 6, 4) for k in range(-6, 7))
PICTURES = 256  # training pictures, one batch


def mean_and_band(values: list[float]) -> list[float]:
    """The mean, and half of its 95 % confidence interval (Student's t), to five digits."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values)**0.5
    return [round(fmean(values), 5), round(half, 5)]


def shattered(depths=DEPTHS, draws: int = DRAWS, width: int = WIDTH) -> dict:
    """For each kind of net and measure, [mean, half band] by depth. Draw s has the seed s, for all nets."""
    points = torch.linspace(-SIDE, SIDE, POINTS)
    found = {}
    for kind in accounts.KINDS:
        found[kind] = {"neighbors": [], "all pairs": []}
        for depth in depths:
            drawn = [accounts.input_gradients(kind, depth, points, width, seed) for seed in range(draws)]
            for name, lag in (("neighbors", 1), ("all pairs", None)):
                found[kind][name].append(mean_and_band([accounts.correlation(g, lag) for g in drawn]))
        print(f"{kind}: {found[kind]['all pairs'][-1]} at depth {depths[-1]}", flush=True)
    return {"depths": list(depths), "draws": draws, "width": width, "points": POINTS, "side": SIDE, "kinds": found}


def surfaces() -> dict:
    """For each net and way to normalize, the loss on each plane: a row for each step in the first direction."""
    job = experiments.job("degradation", "quick", "plain-56")
    pictures = job.pictures.load()
    x = pictures.train_x.float() / 255
    x, y = (x - x.mean(0))[:PICTURES].contiguous(memory_format=torch.channels_last), pictures.train_y[:PICTURES]
    found = {}
    for variant in ("plain-56", "residual-56"):
        net = experiments.trained("degradation", "quick", variant).to(memory_format=torch.channels_last)
        started = process_time()
        found[variant] = {"run": lookup.run("degradation", "quick", (0,), [variant])[0].provenance()}

        def loss(net=net) -> float:
            return F.cross_entropy(net(x), y).item()

        # batch statistics move the running ones, so they come last; the running ones on the first plane only
        for mode, planes in (("running", PLANES[:1]), ("batch", PLANES)):
            net.train(mode == "batch")
            rows = [accounts.surface(loss, net, tuple(accounts.filter_direction(net, s) for s in seeds), OFFSETS)
                    for seeds in planes]
            found[variant][mode] = [[[float(f"{v:.5g}") for v in row] for row in plane] for plane in rows]
        found[variant]["seconds"] = round(process_time() - started)
        print(f"{variant}: {found[variant]['seconds']} s", flush=True)
    return {"offsets": list(OFFSETS), "pictures": PICTURES, "data": pictures.describe(), "nets": found}


def written(make: Callable[[], dict]) -> dict:
    """What ``make`` found, with the machine, the versions, the day and the seconds of the processor it took."""
    started = process_time()
    found = make()
    return {**found, "seconds": round(process_time() - started), "date": str(datetime.now(UTC).date()),
            **machine.environment(torch.device("cpu"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    make = {"shattered": shattered, "surfaces": surfaces}
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"{', '.join(make)} (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in options.files or make:
        text = json.dumps(written(make[name]), separators=(",", ":"), ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{FOLDER / name}.json: {len(text):,} characters")


if __name__ == "__main__":
    main()
