"""Checks of the chapter "Before and after"."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import PreActBlock
from ..checks import Function, Module, Tensor as TensorQuestion, as_number, difference
from ..probes import run_watched
from .build_it import adopt, same_gradient

# --- the block in another order --------------------------------------------------------------------------

BLOCKS = ((6, 6, 1), (6, 10, 2), (6, 10, 1))  # c_in, c_out, stride


def _pre(cls):
    generator = torch.Generator().manual_seed(0)
    for case in BLOCKS:
        problem = _one_block(cls, case, torch.randn(4, case[0], 7, 6, generator=generator))
        if problem is not None:
            return f"Pre({case[0]}, {case[1]}, stride={case[2]}): {problem}"
    return None


def _one_block(cls, case: tuple, x: Tensor) -> str | None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = cls(*case).train()
    for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(2))
    x = 1 * x.clone().requires_grad_()  # no leaf, which cannot be overwritten
    try:
        got, ran = run_watched(block, x, (nn.Conv2d, nn.BatchNorm2d))
    except RuntimeError as error:
        if "running_mean should contain" in str(error):
            return ("a batch normalization meets another number of channels than it has. Each stands in front of a "
                    "convolution: it has as many as that one reads.")
        raise
    ours = PreActBlock(*case)
    want = ours.train()(x)
    if isinstance(got, Tensor) and got.shape != want.shape:
        return f"a batch of shape {tuple(x.shape)} becomes {tuple(got.shape)}, and should become {tuple(want.shape)}."
    problem = _layers_into(ours, ran)
    if problem is not None:
        return problem
    if difference(got, ours(x), 1e-4, 1e-5) is None:
        return same_gradient(got, ours(x), x)
    return next((words for words, forward in _slips(ours) if difference(got, forward(x), 1e-4, 1e-5) is None),
                "the layers are right, but the output is not what they should give together.")


def _layers_into(ours: PreActBlock, ran: list[nn.Module]) -> str | None:
    """Give our block the layers of the student's; what is wrong with these, if they do not fit."""
    kinds = [type(m) for m in ran]
    if len(set(ran)) < len(ran):
        return "a layer is used twice. Each convolution needs a normalization of its own."
    if any(m.kernel_size != (3, 3) for m in ran if isinstance(m, nn.Conv2d)):
        return "a convolution that is not 3×3 ran. The shortcut of this exercise has no weights."
    if kinds == [nn.Conv2d, nn.BatchNorm2d] * 2:
        return "each normalization stands behind its convolution: this is the order of 2015."
    if kinds != [nn.BatchNorm2d, nn.Conv2d] * 2:
        return "in the branch, normalization and convolution take turns, two of each."
    if any(m.bias is not None for m in ran if isinstance(m, nn.Conv2d)):
        return "the convolutions have biases; the block of this page has none (bias=False)."
    problem = adopt((ours.bn1, ours.conv1, ours.bn2, ours.conv2), ran)
    if problem is not None:
        return problem
    if ran[1].stride != ours.conv1.stride or ran[3].stride != ours.conv2.stride:
        return "the stride belongs to the first convolution of the branch."
    return None


def _slips(ours: PreActBlock) -> list:
    """Forward passes that people write instead, with the words for each."""
    def shortcut(x):
        return x if ours.downsample is None else ours.downsample(x)

    def branch(x, first=F.relu, second=F.relu):
        return ours.conv2(second(ours.bn2(ours.conv1(first(ours.bn1(x))))))

    def same(h):
        return h

    return [("nothing is added.", branch),
            ("there is a ReLU behind the addition. With pre-activation nothing stands there.",
             lambda x: F.relu(branch(x) + shortcut(x))),
            ("the shortcut carries the normalized input. It carries x itself.",
             lambda x: branch(x) + shortcut(F.relu(ours.bn1(x)))),
            ("the shortcut goes through a ReLU.", lambda x: branch(x) + F.relu(shortcut(x))),
            ("the ReLU in front of the first convolution is missing.", lambda x: branch(x, same) + shortcut(x)),
            ("the ReLU in front of the second convolution is missing.",
             lambda x: branch(x, F.relu, same) + shortcut(x)),
            ("both ReLUs are missing.", lambda x: branch(x, same, same) + shortcut(x)),
            ("there is a ReLU at the end of the branch: then it can only add.",
             lambda x: F.relu(branch(x)) + shortcut(x))]


# --- counting ---------------------------------------------------------------------------------------------


def grouped(outside: int, inside: int, groups: int) -> float:
    """Weights of a bottleneck whose 3×3 has groups."""
    return 2 * outside * inside + 9 * inside**2 / groups


def dense_block(c: int, n: int, k: int) -> tuple[int, int]:
    """Channels behind a dense block, and the weights of its convolutions."""
    return c + n * k, sum(4 * k * (c + j * k) + 36 * k * k for j in range(n))


def _agree(got, formula, cases) -> bool:
    return all(abs(g - formula(*case)) <= 1e-6 * abs(formula(*case)) for g, case in zip(got, cases, strict=True))


def _grouped(f):
    cases = ((256, 64, 1), (256, 128, 32), (40, 24, 4), (16, 8, 8))
    got = [as_number(f(*case)) for case in cases]
    slips = ((lambda c, d, g: 2 * c * d + 9 * d * d, "Groups do not show in it. How many inputs does an output see?"),
             (lambda c, d, g: 2 * c * d + 9 * d * d / g**2, "That is one group. There are g of them."),
             (lambda c, d, g: (2 * c * d + 9 * d * d) / g, "Only the 3×3 has groups; the 1×1 see all channels."),
             (lambda c, d, g: c * d + 9 * d * d / g, "There are two 1×1 convolutions."),
             (lambda c, d, g: 2 * c * d + d * d / g, "The 3×3 has nine weights for each pair of channels."),
             (lambda c, d, g: 2 * c * d + 9 * d * d * g, "Groups make it cheaper, not dearer."),
             (lambda c, d, g: 9 * d * d / g, "The two 1×1 convolutions have weights, too."),
             (lambda c, d, g: 2 * c * d + 9 * d * d / g + 4 * d + 2 * c, "The convolutions alone, without batch norm."))
    if _agree(got, grouped, cases):
        return None
    return next((hint for slip, hint in slips if _agree(got, slip, cases)), "")


def _dense(f):
    cases = ((24, 16, 12), (10, 1, 4), (8, 3, 2))
    pairs = [f(*case) for case in cases]
    if any(not isinstance(p, tuple | list) or len(p) != 2 for p in pairs):
        return "Return two numbers: channels, weights."
    channels, weights = ([as_number(p[i]) for p in pairs] for i in (0, 1))
    slips = ((lambda c, n, k: n * k, "The channels that came in are passed on, too."),
             (lambda c, n, k: c + k, "That is one layer. There are n."),
             (lambda c, n, k: c + (n - 1) * k, "The last layer appends its k channels as well."),
             (lambda c, n, k: c + 4 * n * k, "The 4k channels stay inside the layer; k come out."))
    if not _agree(channels, lambda *case: dense_block(*case)[0], cases):
        return "Channels: " + next((h for slip, h in slips if _agree(channels, slip, cases)), "each layer appends k.")
    slips = ((lambda c, n, k: n * (4 * k * c + 36 * k * k), "Each layer sees k channels more than the one before."),
             (lambda c, n, k: sum(4 * k * (c + j * k) + 36 * k * k for j in range(1, n + 1)),
              "The first layer sees c channels, not c + k."),
             (lambda c, n, k: sum(9 * k * (c + j * k) for j in range(n)), "Before the 3×3 is a 1×1 to 4k channels."),
             (lambda c, n, k: sum(4 * k * (c + j * k) + 9 * k * k for j in range(n)), "The 3×3 has 4k inputs, not k."),
             (lambda c, n, k: sum(4 * k * (c + j * k) + 4 * k * k for j in range(n)), "The 3×3 has nine positions."),
             (lambda c, n, k: sum(k * (c + j * k) + 9 * k * k for j in range(n)), "The 1×1 leads to 4k channels."),
             (lambda c, n, k: sum(4 * k * (c + j * k) for j in range(n)), "That is the 1×1 convolutions alone."))
    if _agree(weights, lambda *case: dense_block(*case)[1], cases):
        return None
    return "Weights: " + next((hint for slip, hint in slips if _agree(weights, slip, cases)),
                              "add up, over the layers, a 1×1 and a 3×3.")


# --- squeeze and excitation -------------------------------------------------------------------------------


def excite(f: Tensor, w1: Tensor, w2: Tensor, squeeze=lambda f: f.mean((2, 3)), between=F.relu,
           gate=torch.sigmoid, join=torch.mul) -> Tensor:
    """The answer; what people change of it are its arguments."""
    return join(f, gate(between(squeeze(f) @ w1.T) @ w2.T)[:, :, None, None])


def _excite(f):
    g = torch.Generator().manual_seed(0)
    maps, w1, w2 = (torch.randn(*shape, generator=g) for shape in ((3, 8, 5, 4), (2, 8), (8, 2)))
    maps, w1, w2 = 1 + maps, 2 * w1, 2 * w2
    got = f(maps.clone(), w1.clone(), w2.clone())
    problem = difference(got, excite(maps, w1, w2), 1e-4, 1e-5)
    if problem is None:
        return None
    factors = excite(torch.ones(1, 8, 1, 1), w1, w2, squeeze=lambda _: maps.mean((2, 3)))[..., 0, 0]
    if difference(got, factors, 1e-4, 1e-5) is None:
        return "These are the factors. The channels have to be multiplied by them."
    slips = ((dict(gate=lambda h: h.softmax(1)), "A softmax makes channels compete; each has a sigmoid of its own."),
             (dict(between=lambda h: h), "The ReLU between the two layers is missing."),
             (dict(gate=lambda h: h), "The sigmoid is missing: the factors are to lie between 0 and 1."),
             (dict(gate=lambda h: torch.sigmoid(F.relu(h))), "A ReLU too many: no factor is below one half."),
             (dict(squeeze=lambda f: f.amax((2, 3))), "The squeeze is a mean over pixels, not the largest value."),
             (dict(squeeze=lambda f: f.sum((2, 3))), "The squeeze is a mean over the pixels, not the sum."),
             (dict(squeeze=lambda f: f.mean((0, 2, 3)).expand(len(f), -1)),
              "Each picture has means of its own: no mean over the batch."),
             (dict(join=torch.add), "The factors multiply the channels; they are not added."),
             (dict(join=lambda f, g: f + f * g), "This also adds f. The shortcut is the block's, not this layer's."))
    return next((hint for how, hint in slips if difference(got, excite(maps, w1, w2, **how), 1e-4, 1e-5) is None),
                problem)


# --- who leaves the stream alone ----------------------------------------------------------------------------

KEEPS = (False, True, True, False)


def _placement(wrong: tuple) -> str:
    """The hint for a wrong answer, by what it says of the four blocks."""
    if wrong[0]:
        return "A: a normalization behind the addition acts on the shortcut, too. Try it on x = (2, 4)."
    if not wrong[1]:
        return "B: the normalization stands in the branch, and the branch gives zero."
    if not wrong[2]:
        return "C: what does a normalization with shift 0 make of a vector of zeros?"
    return "D: what stands on the shortcut itself?"


CHECKS = {
    "after-1": Module(_pre, want="class"),
    "after-2": Function(_grouped, hint="Count for each convolution: outputs, times inputs that an output sees, times "
                                       "positions of the kernel."),
    "after-3": Function(_excite),
    "after-4": Function(_dense),
    "after-5": TensorQuestion(torch.tensor(KEEPS), wrong=tuple(
        (torch.tensor(w), _placement(w)) for w in product((False, True), repeat=4) if w != KEEPS)),
}
