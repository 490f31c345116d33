"""Checks of the chapter "Using a ResNet"."""

from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..checks import Function, Tensor as TensorQuestion, difference

# --- what moves when a net is trained ---------------------------------------------------------------------


class Small(nn.Module):
    """Convolution, batch norm, a residual block of the simplest kind, dropout, a head: names as in a ResNet."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.dropout, self.fc = nn.Dropout(dropout), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.layer1(x))
        return self.fc(self.dropout(x.mean((2, 3))))


def _small(dropout: float = 0.0) -> tuple[Small, Tensor, Tensor]:
    """A net that was trained elsewhere, so to speak, with pictures and labels of a new task."""
    torch.manual_seed(0)
    net = Small(dropout)
    for norm in (net.bn1, net.layer1[1]):
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
    return net, 1 + torch.randn(12, 1, 6, 6), torch.arange(12) % 3


def _moved(net: nn.Module, before: dict) -> set[str]:
    return {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}


COUNTED = ("The running mean and variance stay, but the batches are counted on: a batch normalization is still in "
           "training mode, and normalizes by its batch.")


def _kinds(names: set[str]) -> tuple[bool, bool, bool]:
    """Whether running statistics, the head and other weights are among these names."""
    statistics = {n for n in names if "running" in n or "num_batches" in n}
    head = {n for n in names if n.startswith("fc.")}
    return bool(statistics), bool(head), bool(names - statistics - head)


def _freeze(f):
    net, x, y = _small()
    net.train()
    f(net)
    learned = {name for name, p in net.named_parameters() if p.requires_grad}
    if not learned:
        return "No weight is left that could learn: the head has to keep requires_grad."
    if not {"fc.weight", "fc.bias"} <= learned:
        return "The head has two parameters, a weight and a bias. Both have to learn."
    if any("bn" in name or "layer1.1" in name for name in learned):
        return ("γ and β of the batch normalizations still learn. They are parameters like others, and the head alone "
                "was to be trained.")
    if learned - {"fc.weight", "fc.bias"}:
        return "Weights of convolutions still learn: which parameters do not belong to the head?"
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
    moved = _moved(net, before)
    statistics, _, others = _kinds(moved)
    if statistics and not any("running" in name for name in moved):
        return COUNTED
    if statistics:
        return ("One step, and the running statistics of the batch normalizations have moved. requires_grad has no say "
                "in that; what has?")
    if others:
        return "One step, and something outside of the head has moved."
    return None


def _tune(f):
    return next(filter(None, (_tuned_from(f, training) for training in (True, False))), None)


def _tuned_from(f, training: bool) -> str | None:
    """Given a net in training mode, or in evaluation mode."""
    net, x, y = _small(dropout=0.5)
    net.train(training)
    seen = []
    net.dropout.register_forward_hook(lambda m, i, o: seen.append(m.training))
    before, torch_state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    f(net, x.clone(), y.clone(), 3)
    moved = _moved(net, before)
    statistics, head, others = _kinds(moved)
    if not seen:
        return "The net was not called."
    if statistics and not all(torch.isfinite(v).all() for v in net.state_dict().values()):
        return "There is a NaN in the net."
    if statistics and not any("running" in name for name in moved):
        return COUNTED
    if statistics:
        return ("The running statistics have moved. net.train() puts every module into training mode, also those that "
                "were in evaluation mode before.")
    if not head:
        return "The head has not learned anything."
    if not others:
        return "Only the head has learned. This loop is to tune all weights; only statistics are to stay."
    if not any(seen):
        return ("The dropout in front of the head is off, so the whole net was in evaluation mode. Only the batch "
                "normalizations were to be.")
    if "bn1.weight" not in moved:
        return "γ and β were to learn, as all weights; only the running mean and variance stay."
    if len(seen) != 3:
        return f"Asked for 3 steps, the loop took {len(seen)}."
    reference, *_ = _small(dropout=0.5)
    torch.set_rng_state(torch_state)
    tuned(reference, x, y, 3)
    if all(torch.allclose(v, reference.state_dict()[k], 1e-3, 1e-4) for k, v in net.state_dict().items()):
        return None
    return "Statistics and modes are right, but the steps are others than those of the loop that was given."


def tuned(net: nn.Module, x: Tensor, y: Tensor, steps: int) -> nn.Module:
    """The answer to using-2."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        net.train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


# --- a probe from few pictures ------------------------------------------------------------------------------


def few(Z: Tensor, T: Tensor, penalty: float) -> Tensor:
    """Ridge regression by a system of n equations: Zᵀ (Z Zᵀ + penalty · I)⁻¹ T."""
    return Z.T @ torch.linalg.solve(Z @ Z.T + penalty * torch.eye(len(Z), dtype=Z.dtype), T)


WIDE = 400  # features of the wide case, a number that no other axis has


class _Squares(TorchFunctionMode):
    """Notes whether a matrix of features × features is made."""

    seen = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= isinstance(result, Tensor) and list(result.shape).count(WIDE) == 2
        return result


def _few(f):
    g = torch.Generator().manual_seed(0)
    for n, d in ((6, 9), (9, 4)):
        Z, T = (torch.randn(n, k, generator=g, dtype=torch.float64) for k in (d, 3))
        got, want = f(Z.clone(), T.clone(), 0.5), few(Z, T, 0.5)
        if isinstance(got, Tensor) and got.shape == (n, 3):
            return "The result has a row for each picture. W needs one for each feature: multiply by Zᵀ."
        problem = difference(got, want, 1e-5, 1e-8)
        if problem is not None:
            slips = ((few(Z, T, 0.0) if d > n else None, "The penalty is missing."),
                     (few(Z, T, 0.5 * n), "The penalty is multiplied by n. The formula has it alone."),
                     (few(Z, T, 0.25), "The penalty is squared."),
                     (Z.T @ T, "The inverse is missing."))
            return next((hint for value, hint in slips
                         if value is not None and difference(got, value, 1e-5, 1e-8) is None), problem)
    Z, T = (torch.randn(20, k, generator=g) for k in (WIDE, 3))
    with _Squares() as squares:
        got = f(Z, T, 10.0)
    if squares.seen:
        return (f"Right, but with {WIDE} features it makes a matrix of {WIDE} × {WIDE} numbers. The system asked for "
                "has as many equations as there are pictures: 20.")
    return difference(got, few(Z, T, 10.0), 1e-2, 1e-5)


# --- which preparation was it? --------------------------------------------------------------------------------

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))  # of ImageNet's channels
PREPARED = {"right": (0 * MEAN, 1 + 0 * STD), "raw": (255 * MEAN, 255 * STD), "unit": (MEAN, STD),
            "bgr": ((MEAN.flip(0) - MEAN) / STD, STD.flip(0) / STD), "twice": (-MEAN / STD, 1 / STD)}
SHOWN = ("unit", "twice", "right", "bgr", "raw")  # the order in which the exercise shows them
ASKED = ("right", "raw", "unit", "bgr", "twice")
ANSWER = tuple(SHOWN.index(name) + 1 for name in ASKED)


def statistics() -> list[tuple[list[float], list[float]]]:
    """Mean and standard deviation of each channel of the five batches, in the order of the exercise."""
    return [(mean.tolist(), std.tolist()) for mean, std in (PREPARED[name] for name in SHOWN)]


def _hint(wrong: tuple[int, ...]) -> str:
    """The first of the five that is wrong, in words that do not say which it is."""
    words = {"right": "Prepared rightly, each channel has mean 0 and standard deviation 1.",
             "raw": "Bytes run from 0 to 255: how large can a mean be?",
             "unit": "Pictures in [0, 1] have positive means below 1, and smaller deviations.",
             "bgr": "With red and blue exchanged, what happens to the middle channel?",
             "twice": "Put mean 0 and deviation 1 into the normalization once more. What comes out?"}
    return next(words[name] for name, given, want in zip(ASKED, wrong, ANSWER, strict=True) if given != want)


CHECKS = {
    "using-1": Function(_freeze, mutates=True),
    "using-2": Function(_tune, mutates=True),
    "using-3": Function(_few, hint="Begin with (ZᵀZ + λI) Zᵀ = Zᵀ (ZZᵀ + λI).", beside=True),
    "using-4": TensorQuestion(torch.tensor(ANSWER), wrong=tuple(
        (torch.tensor(w), _hint(w)) for w in permutations(range(1, 6)) if w != ANSWER),
        hint="Each of the numbers 1 to 5 once, in the order of the list."),
}
