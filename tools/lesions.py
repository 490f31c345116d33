"""The data files of the page pages/lesion_lab.md, from kept weights: python tools/lesions.py

data/lesions/clothes.json: what all lesioned nets of the experiment "lesions" answer, seed 0 (minutes on one core).
data/lesions/seeds.json: how many pictures the nets of all seeds call right without one block.
data/lesions/digits.json: the digit net in int8, and sample digits.  Again on one machine, the same bytes.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from resnet_lib import data, experiments, records  # noqa: E402
from resnet_lib.experiments import weights  # noqa: E402
from resnet_lib.files import home  # noqa: E402
from resnet_lib.lab import lesions, quantize  # noqa: E402

FOLDER = ROOT / "data" / "lesions"
TIER = "short"
KINDS = ("residual", "plain")
N_TEST = 5_000  # the first pictures of the test set: all combinations of 10,000 would take twice as long
N_MEASURED = 2_048  # training pictures from which batch norm statistics are measured anew
BATCH = 200  # small enough that a block's activations stay in the processor's cache
GRAY = "0123456789abcdefg"  # scikit-learn's digits have 17 levels of ink


def recorded(experiment: str, variant: str, seed: int = 0) -> records.Record:
    """A finished record of the experiment's tier; RecordError where it is missing or stale."""
    folder = records.recorded_root() / experiment / TIER
    return experiments.committed_record(folder / f"{variant}-s{seed}.json")


def origin(record: records.Record) -> dict:
    """Where a net comes from, for readers of the data file."""
    path = weights.recorded_path(record)
    return {"record": str(records.recorded_path(record).relative_to(home())), "recipe_id": record.recipe_id,
            "weights": str(path.relative_to(home())), "commit": record.commit, "dirty": record.dirty,
            "date": record.segments[-1]["date"], "test_error": record.final["test_error"],
            "provenance": record.provenance()}


def normalized(images: data.ImageSet, pictures: Tensor) -> Tensor:
    """Pictures as the recipe of "lesions" has them: in [0, 1], less the mean picture of the training set."""
    return pictures.float() / 255 - data.pixel_mean(images.train_x)


def measured(images: data.ImageSet) -> Tensor:
    """The training pictures for new statistics: a subset drawn by seed 0."""
    return normalized(images, images.subset(N_MEASURED).train_x)


def index(kept: lesions.Kept, free: list[int]) -> int:
    """The place of a combination in the file: bit p is set where the p-th block that may go is gone."""
    return sum(1 << p for p, k in enumerate(free) if not kept[k])


def per_class(found: Tensor, labels: Tensor) -> list[int]:
    """How many pictures of each class were called right."""
    return torch.bincount(labels[found == labels], minlength=10).tolist()


def trained(kind: str, seed: int = 0) -> tuple[torch.nn.Module, dict]:
    """A net of the experiment, and where it comes from. Channels-last, as it was trained."""
    record = recorded("lesions", f"{kind}-20", seed)
    return weights.load(record).to(memory_format=torch.channels_last), origin(record)


def examined(net, images: data.ImageSet, possible, order=None) -> tuple[dict, dict]:
    """Answers to the test pictures by combination: as trained, and with batch norm statistics measured anew."""
    x = normalized(images, images.test_x[:N_TEST]).contiguous(memory_format=torch.channels_last)
    usual = lesions.answers(net, x, possible, order, batch=BATCH)
    at = lesions.reestimated(net, measured(images), possible, order)
    return usual, lesions.answers(net, x, possible, order, at, BATCH)


def clothes() -> dict:
    """All lesions and swaps of the nets of seed 0."""
    images = data.load("fashion_mnist")
    y = images.test_y[:N_TEST]
    shown = [int((y == c).nonzero()[0]) for c in range(10)]
    nets = {}
    for kind in KINDS:
        net, origin = trained(kind)
        possible = lesions.choices(net)
        free = [k for k, choice in enumerate(possible) if len(choice) == 2]

        def entry(usual: dict, again: dict, free=free) -> dict:
            order = sorted(usual, key=lambda kept: index(kept, free))
            return {"correct": sum((per_class(usual[k], y) for k in order), []),
                    "again": [int((again[k] == y).sum()) for k in order],
                    "answers": "".join("".join(map(str, usual[k][shown].tolist())) for k in order)}

        nets[kind] = {"free": free, **entry(*examined(net, images, possible)), "origin": origin, "swaps": [
            {"pair": pair, **entry(*examined(net, images, [(True,)] * len(possible), lesions.swapped(net, *pair)))}
            for pair in lesions.swaps(net)]}
        print(f"{kind}: {sum(nets[kind]['correct'][:10]) / N_TEST:.4f} right, {len(nets[kind]['again'])} lesions",
              flush=True)
    return {"classes": images.classes, "n": N_TEST, "of_class": torch.bincount(y).tolist(), "measured": N_MEASURED,
            "shown": shown, "license": "Fashion-MNIST pictures: MIT License, © 2017 Zalando SE",
            "pictures": base64.b64encode(images.test_x[shown].numpy().tobytes()).decode(), "nets": nets}


def seeds() -> dict:
    """Right answers of the nets of all seeds: first with all blocks, then without each block that may go."""
    images = data.load("fashion_mnist")
    y = images.test_y[:N_TEST]
    nets: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for seed in experiments.EXPERIMENTS["lesions"].tiers[TIER].seeds:
            net, origin = trained(kind, seed)
            possible = lesions.choices(net)
            free = [k for k, choice in enumerate(possible) if len(choice) == 2]
            cases = [examined(net, images, [(k != gone,) for k in range(len(possible))]) for gone in (None, *free)]
            usual, again = ([int((answers == y).sum()) for case in cases for answers in case[which].values()]
                            for which in (0, 1))
            nets[kind].append({"seed": seed, "free": free, "correct": usual, "again": again, "origin": origin})
            print(f"{kind}, seed {seed}: {usual} of {N_TEST} right", flush=True)
    return {"n": N_TEST, "measured": N_MEASURED, "nets": nets}


def error(net, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Fraction of wrong answers, and the answers."""
    with torch.no_grad():
        found = torch.cat([net(part).argmax(1) for part in x.split(1000)])
    return (found != y).float().mean().item(), found


def digits() -> dict:
    """The digit net with rounded weights, what the rounding does on the test set, and one sample of each digit."""
    record, images = recorded("digit_net", "residual-20"), data.load("mnist")
    net = weights.load(record)
    small, held = quantize.quantized(net)
    x, y = images.test_x.float() / 255, images.test_y
    (before, ours), (after, theirs) = error(net, x, y), error(small, x, y)
    with torch.no_grad():
        moved = (net(x[:1000]) - small(x[:1000])).abs().max().item()
    print(f"digit net: test error {before:.4f}, with int8 weights {after:.4f}, {int((ours != theirs).sum())} answers "
          f"of {len(y)} differ, logits of 1,000 pictures by at most {moved:.3f}")
    drawn = data.load("digits")
    first = [int((drawn.test_y == c).nonzero()[0]) for c in range(10)]
    samples = ["".join(GRAY[(16 * v + 127) // 255] for v in drawn.test_x[k].flatten().tolist()) for k in first]
    return {"depth": record.net["depth"], "width": record.net["width"], **held, "origin": origin(record),
            "rounding": {"n": len(y), "error": round(before, 4), "error_int8": round(after, 4),
                         "answers_that_differ": int((ours != theirs).sum())},
            "samples": samples, "license": "Sample digits: scikit-learn's copy of the UCI digits (Alpaydin and Kaynak, "
            "1998), CC BY 4.0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    make = {"clothes": clothes, "seeds": seeds, "digits": digits}
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"{', '.join(make)} (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in options.files or make:
        text = json.dumps(make[name](), separators=(",", ":"), ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{FOLDER / name}.json: {len(text):,} characters")


if __name__ == "__main__":
    main()
