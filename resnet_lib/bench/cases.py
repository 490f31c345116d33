"""What the benchmark measures: the cases, and in each the contenders, ours and the peers."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import torch

from .. import data, experiments, nets, timing
from ..machine import cores
from ..recipe import Execution, Recipe, modern_gpu
from ..train import Run
from .baselines import D2L, Loop, choose_workers

RANDOM = "random pictures of the same shape"
TITLES = {
    "loop": "plain loop, DataLoader", "strong": "plain loop, tuned", "d2l": "d2l's Trainer",
    "resident": "data on the device", "channels_last": "+ channels_last", "autotune": "+ cuDNN's search",
    "fused": "+ fused optimizer", "compile": "+ torch.compile", "bf16": "+ bf16", "graphs": "CUDA graphs, not compiled",
    "graphs_compile": "CUDA graphs, torch.compile",
}
PEERS = ("loop", "strong", "d2l")
LADDER = {"cpu": ("resident", "channels_last", "fused", "compile", "bf16"),
          "cuda": tuple(key for key in TITLES if key not in PEERS)}
ROOFLINE = "roofline "


@dataclass(frozen=True)
class Case:
    """One training step to be measured: that of a declared run. ``steps`` a round and ``warmup`` by kind of device."""

    experiment: str
    tier: str
    variant: str
    peers: tuple[str, ...]
    steps: dict[str, int]
    warmup: dict[str, int]
    ladder: dict[str, tuple[str, ...]]
    threads: int | None = None
    most: int | None = None  # pictures; every contender holds them while the others are measured

    def contenders(self, device: str) -> tuple[str, ...]:
        """The keys that are measured on this kind of device unless others are asked for."""
        return self.peers + tuple(k for k in self.ladder[device] if k != "bf16" or device == "cpu" or modern_gpu())

    def declared(self) -> tuple[experiments.Experiment, experiments.Tier]:
        """The experiment and tier that the run belongs to."""
        return experiments.get(self.experiment, self.tier)

    @property
    def net(self) -> dict:
        """The net's spec."""
        return nets.complete(self.declared()[1].variants[self.variant].net)

    @property
    def recipe(self) -> Recipe:
        """The run's recipe, without an end, rows and probes: steps only."""
        _, tier = self.declared()
        changes = tier.variants[self.variant].changes
        return replace(tier.recipe, **changes, steps=10**9, eval_every=10**9, probe_steps=())


LOOPS = ("loop", "strong")
WARM = {"cpu": 2, "cuda": 20}
FLOAT32 = LADDER | {"cpu": LADDER["cpu"][:-1]}  # without bf16, which compiles anew
CASES = {
    "resnet-20": Case("degradation", "paper", "residual-20", LOOPS, {"cpu": 4, "cuda": 100}, WARM, LADDER),
    "resnet-56": Case("degradation", "paper", "residual-56", LOOPS, {"cpu": 2, "cuda": 100}, WARM, LADDER),
    # a round is an epoch of 23 steps, so that none is without the pause between two
    "plain-56-quick": Case("degradation", "quick", "plain-56", ("loop",), {"cpu": 23, "cuda": 92}, WARM, FLOAT32, 1),
    # a step takes seconds on a CPU and most of a GB on a GPU: of the ladder only its ends
    "resnet-18-fashion": Case("fashion_d2l", "paper", "d2l-resnet-18", ("d2l",), {"cpu": 1, "cuda": 50},
                              {"cpu": 1, "cuda": 20}, {"cpu": ("channels_last", "compile"),
                                                       "cuda": ("channels_last", "compile", "graphs")}, most=50 * 256),
}


def pictures(case: Case) -> tuple[data.ImageSet, str]:
    """The run's pictures before resizing, in whole batches, and what they are: its set, or random ones."""
    experiment, tier = case.declared()
    if data.available(experiment.data):
        images, name = data.load(experiment.data).subset(tier.n_train, tier.n_test), data.TITLES[experiment.data]
    else:
        images, name = _random(experiment.data, tier), RANDOM
    some = min(len(images.train_y), case.most or len(images.train_y))
    whole = some // tier.recipe.batch * tier.recipe.batch  # a smaller batch would count as a full one
    return replace(images, train_x=images.train_x[:whole], train_y=images.train_y[:whole]), name


def _random(name: str, tier: experiments.Tier) -> data.ImageSet:
    shape = {"cifar10": (3, 32, 32), "fashion_mnist": (1, 28, 28)}[name]
    whole = {"cifar10": 50_000, "fashion_mnist": 60_000}[name]
    g = torch.Generator().manual_seed(0)
    n = {"train": tier.n_train or whole, "test": tier.n_test or 10_000}
    x, y = ([torch.randint(0, top, (n[s], *size), generator=g, dtype=kind) for s in n]
            for top, size, kind in ((256, shape, torch.uint8), (10, (), torch.int64)))
    return data.ImageSet(name, x[0], y[0], x[1], y[1], data.CLASSES[name])


def execution_of(key: str, device: str, threads: int | None = None) -> Execution:
    """The execution that a contender's key stands for; each rung of the ladder changes one thing."""
    cuda = device == "cuda"
    new = cuda and modern_gpu()
    if key in PEERS:
        tuned = {"channels_last": True, "compile": True, "autotune": cuda, "precision": "bf16" if new else "float32"}
        return Execution(device, threads=threads, **(tuned if key == "strong" else {"channels_last": False}))
    # TF32 in convolutions is torch's default on a GPU and so the plain loop's; the first rungs keep it
    plain = Execution(device, "tf32" if new else "float32", channels_last=False, threads=threads)
    changes = {"resident": {}, "channels_last": {"channels_last": True}, "autotune": {"autotune": cuda},
               "fused": {"fused": True}, "compile": {"compile": True}, "bf16": {"precision": "bf16"},
               "graphs": {"graphs": True, "compile": False}, "graphs_compile": {"compile": True}}
    if cuda and not new:  # float32 from end to end, and the graphs as `Execution.fastest` has them there
        changes["bf16"], changes["graphs"] = {}, changes["graphs"] | {"channels_last": False}
    for rung, change in changes.items():
        plain = replace(plain, **change)
        if rung == key:
            return plain
    raise ValueError(f"a contender must be one of {', '.join(TITLES)}, got {key!r}")


class Contender:
    """A contender, built and warmed up in this process: ``measure(steps)`` and its ``facts``."""

    def __init__(self, case: Case, key: str, device: str, threads: int, warmup: int):
        torch.set_num_threads(threads)
        self.close: Callable[[], None] = lambda: None
        if key.startswith(ROOFLINE):
            self._roofline(case, key.removeprefix(ROOFLINE), device)
            return
        images, name = pictures(case)
        size = case.declared()[1].size
        if key != "d2l":  # which resizes while it loads
            images = images.resize(size)
        start = perf_counter()
        step, repeat, peer, execution = self._build(case, key, device, threads, images, size)
        step()
        timing.wait_for(device)
        seconds = perf_counter() - start
        if peer:
            self.close = peer.close
            choose_workers(peer, worker_counts())
        seconds += timing.seconds_of(lambda: repeat(warmup), device)
        self.measure: Callable[[int], float] = lambda steps: timing.seconds_of(lambda: repeat(steps), device) / steps
        precision = execution.precision
        if peer and device == "cuda" and precision == "float32" and modern_gpu():
            precision = "tf32"
        settings = {k: v for k, v in asdict(execution).items()
                    if k in ("channels_last", "fused", "compile", "graphs", "autotune")}
        self.facts = {"data": name, "pictures": len(images.train_y), "precision": precision, "begin": seconds,
                      "settings": settings | ({"loader_workers": peer.workers} if peer else {})}

    def _build(self, case, key, device, threads, images, size):
        execution = execution_of(key, device, threads)
        if key == "d2l":
            peer = D2L(images, case.recipe, size, torch.device(device))
        elif key in PEERS:
            peer = Loop(nets.build(case.net), images, case.recipe, execution)
        else:
            run = Run(nets.build(case.net), images, case.recipe, execution)
            return run.advance, lambda steps: timing.repeat(run.advance, steps), None, execution
        return peer.step, peer.run, peer, execution

    def _roofline(self, case: Case, precision: str, device: str) -> None:
        net = nets.build(case.net)
        size, recipe = case.declared()[1].size, case.recipe
        line = timing.roofline(net, recipe.batch, (case.net["in_channels"], size, size), precision, device)
        self.measure = lambda steps: line.measure()
        self.facts = {"layout": line.layout, "flops": line.flops}


def worker_counts() -> list[int]:
    """The loader's process counts that are tried: 0, 1, 2, 4, … up to the cores."""
    return [0] + [2**k for k in range(cores().bit_length())]
