"""Checks of the chapter "Build a residual network"."""

from collections.abc import Callable
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import BasicBlock, PlainBlock
from ..checks import Function, Module, Tensor as TensorQuestion, difference

# --- the block from memory ------------------------------------------------------------------------------

# (c_in, c_out, stride, residual)
BLOCKS = ((8, 8, 1, True), (8, 16, 2, True), (8, 16, 1, True), (8, 8, 2, True), (8, 8, 1, False), (8, 16, 2, False))


def _block(cls):
    generator = torch.Generator().manual_seed(0)
    for case in BLOCKS:
        c_in, _, stride, _ = case
        x = torch.randn(4, c_in, 6, 6, generator=generator)
        problem = _one_block(cls, case, x)
        if problem is not None:
            kind = f"Block({c_in}, {case[1]}, stride={stride}{'' if case[3] else ', residual=False'})"
            return f"{kind}: {problem}"
    return None


def _one_block(cls, case: tuple, x: Tensor) -> str | None:
    c_in, c_out, stride, residual = case
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = cls(c_in, c_out, stride, residual).train()
    for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(2))
    got, ran = _watched(block, x)
    if isinstance(got, Tensor) and got.shape != (side := (len(x), c_out, -(-6 // stride), -(-6 // stride))):
        return f"a batch of shape {tuple(x.shape)} becomes {tuple(got.shape)}, and should become {side}."
    ours = (BasicBlock if residual else PlainBlock)(c_in, c_out, stride).train()
    problem = _layers_into(ours, ran)
    if problem is not None:
        return problem
    if difference(got, ours(x), 1e-4, 1e-5) is None:
        return None
    return next((words for words, forward in _slips(ours, residual) if difference(got, forward(x), 1e-4, 1e-5) is None),
                "the layers are right, but the output is not what relu(F(x) + shortcut(x)) gives with them."
                if residual else "the layers are right, but the output is not relu(F(x)).")


def _watched(block: nn.Module, x: Tensor) -> tuple[object, list[nn.Module]]:
    """The output, and the convolutions and batch norms in the order in which they ran."""
    ran: list[nn.Module] = []
    hooks = [m.register_forward_hook(lambda m, _inputs, _out: ran.append(m)) for m in block.modules()
             if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    try:
        return block(x), ran
    finally:
        for hook in hooks:
            hook.remove()


def _layers_into(ours: nn.Module, ran: list[nn.Module]) -> str | None:
    """Give our block the layers of the student's; what is wrong with these, if they do not fit."""
    if len(set(ran)) < len(ran):
        return "a layer is used twice. Each convolution needs a batch normalization of its own."
    pairs = [(m, ran[k + 1] if k + 1 < len(ran) and isinstance(ran[k + 1], nn.BatchNorm2d) else None)
             for k, m in enumerate(ran) if isinstance(m, nn.Conv2d)]
    branch = [pair for pair in pairs if pair[0].kernel_size == (3, 3)]
    shortcut = [pair for pair in pairs if pair[0].kernel_size == (1, 1)]
    if len(branch) != 2:
        return f"{len(branch)} convolutions of 3×3 ran (nn.Conv2d), and F has two."
    needed = ours.downsample is not None
    if len(shortcut) != needed:
        return ("x does not have the shape of F(x) here: the shortcut needs a 1×1 convolution." if needed else
                "a 1×1 convolution ran where x already has the shape of F(x), or where nothing is added.")
    if any(norm is None for _, norm in pairs):
        return "each convolution is followed by a batch normalization (nn.BatchNorm2d), also the one of the shortcut."
    if any(conv.bias is not None for conv, _ in pairs):
        return "the convolutions have biases, which the batch normalization behind them subtracts again: bias=False."
    mine = [(ours.conv1, ours.bn1), (ours.conv2, ours.bn2), *([tuple(ours.downsample)] if needed else ())]
    for pair, own in zip(branch + shortcut, mine, strict=True):
        for theirs, layer in zip(pair, own, strict=True):
            if theirs.weight.shape != layer.weight.shape:
                return (f"a layer has weights of shape {tuple(theirs.weight.shape)}, and should have "
                        f"{tuple(layer.weight.shape)}.")
            with torch.no_grad():
                layer.weight.copy_(theirs.weight)
                if isinstance(layer, nn.BatchNorm2d):
                    layer.bias.copy_(theirs.bias)
    wrong = [pair[0] for pair, own in zip(branch + shortcut, mine, strict=True) if pair[0].stride != own[0].stride]
    return "the stride belongs to the first convolution of F, and to that of the shortcut." if wrong else None


def _slips(ours: nn.Module, residual: bool) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """Forward passes that people write instead, with the words for each."""
    branch, shortcut = ours.residual, BasicBlock.shortcut.__get__(ours)
    plain = ("nothing is added: without the shortcut this is the plain block.", lambda x: F.relu(branch(x)))
    if not residual:
        slips = [("a plain block has a ReLU at its end.", branch)]
        same = ours.conv1.in_channels == ours.conv2.out_channels and ours.conv1.stride == (1, 1)
        return [*slips, ("x is added, and a plain block adds nothing.", lambda x: F.relu(branch(x) + x))][:1 + same]
    return [
        plain,
        ("the last ReLU is missing: it stands behind the addition.", lambda x: branch(x) + shortcut(x)),
        ("there is a ReLU at the end of F, in front of the addition: then the branch can only add.",
         lambda x: F.relu(F.relu(branch(x)) + shortcut(x))),
        ("the only last ReLU is at the end of F. It belongs behind the addition.",
         lambda x: F.relu(branch(x)) + shortcut(x)),
        ("the ReLU between the two convolutions is missing.",
         lambda x: F.relu(ours.bn2(ours.conv2(ours.bn1(ours.conv1(x)))) + shortcut(x))),
        ("the shortcut goes through a ReLU.", lambda x: F.relu(branch(x) + F.relu(shortcut(x)))),
    ]


# --- shapes, ResNet-34 ----------------------------------------------------------------------------------


def shapes_of(arch, n: int, height: int, width: int, halve=lambda side: -(-side // 2), first: bool = False) -> list:
    """The shape after each stage. ``halve``: what stride 2 makes of a side; ``first``: also in the first stage."""
    found = []
    for stage, (_, channels) in enumerate(arch):
        if stage or first:
            height, width = halve(height), halve(width)
        found.append((n, channels, height, width))
    return found


def _shapes(f):
    cases = ((((9, 8), (9, 16), (9, 32)), 2, 12, 12), (((1, 4), (2, 6)), 5, 9, 7), (((2, 3),) * 4, 1, 33, 30))
    slips = (("Sides of odd length are rounded up by a 3×3 of stride 2 with padding 1: try 5 pixels.",
              dict(halve=lambda side: side // 2)),
             ("The first stage does not halve the picture.", dict(first=True)),
             ("Each stage after the first halves height and width, once.", dict(halve=lambda side: side)))
    got = []
    for case in cases:
        found = f(*case)
        if not isinstance(found, list | tuple) or not all(isinstance(s, list | tuple | torch.Size) for s in found):
            return "Return a list with one tuple (N, C, H, W) for each stage."
        got.append([tuple(s) for s in found])
    if got == [shapes_of(*case) for case in cases]:
        return None
    if any(len(found) != len(case[0]) for found, case in zip(got, cases, strict=True)):
        return "There is one shape for each stage, not for each block."
    if any(len(s) != 4 for found in got for s in found):
        return "Each shape has four numbers: N, C, H, W."
    return next((words for words, how in slips if got == [shapes_of(*case, **how) for case in cases]), "")


ARCH_34 = ((3, 64), (4, 128), (6, 256), (3, 512))
WRONG_ARCH = (
    (((2, 64), (2, 128), (2, 256), (2, 512)), "That is ResNet-18: 2 · (2 + 2 + 2 + 2) + 2 layers."),
    (((3, 64), (4, 128), (23, 256), (3, 512)), "Those are the blocks of ResNet-101."),
    (((6, 64), (8, 128), (12, 256), (6, 512)), "Those are convolutions. A block has two of them."),
    (((64, 3), (128, 4), (256, 6), (512, 3)), "The other way round: (blocks, channels)."),
    (((3, 64), (4, 64), (6, 64), (3, 64)), "The channels double from stage to stage."),
)

# --- a loop with three faults ---------------------------------------------------------------------------

FAULTS = {"eval": "The net came in evaluation mode, and its batch normalization still does not see the batch.",
          "softmax": "cross_entropy takes logits: it applies the softmax itself.",
          "zero_grad": "The gradients of earlier steps are still added to those of this one."}


def loop(net: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int, lr: float, faults: tuple = ()) -> list[float]:
    """The loop of the exercise, with the ``faults`` named that are left in it."""
    sgd = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    dice = torch.Generator().manual_seed(0)
    net.train("eval" not in faults)
    errors = []
    for _ in range(epochs):
        for i in torch.randperm(len(x), generator=dice).split(batch):
            logits = net(x[i])
            if "zero_grad" not in faults:
                sgd.zero_grad()
            F.cross_entropy(logits.softmax(1) if "softmax" in faults else logits, y[i]).backward()
            sgd.step()
            errors.append((logits.argmax(1) != y[i]).float().mean().item())
    return errors


def _small_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()


def _trained(f, *rest) -> tuple[Tensor, list]:
    """All weights after training, as one vector, and what the loop gave."""
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(40, 6, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    net = _small_net()
    errors = f(net, x, y, 2, 16, 0.05, *rest)
    return torch.cat([p.detach().flatten() for p in net.parameters()]), errors


def _loop(f):
    weights, errors = _trained(f)
    want, told = _trained(loop)
    if difference(weights, want, 1e-4, 1e-6) is None:
        if not isinstance(errors, list | tuple) or len(errors) != len(told):
            return "The weights are right. Give one error for each batch, as a list."
        return None if difference(errors, told, 1e-4, 1e-6) is None else (
            "The weights are right, but not the errors: the fraction of wrong answers in each batch, before its step.")
    for left in (c for n in (1, 2, 3) for c in combinations(FAULTS, n)):
        if difference(weights, _trained(loop, left)[0], 1e-4, 1e-6) is None:
            return " ".join(FAULTS[fault] for fault in left)
    return ""


CHECKS = {
    "build-it-1": Module(_block, want="class"),
    "build-it-2": Function(_shapes, hint="Which stages begin with a block of stride 2? How many channels has each?"),
    "build-it-3": TensorQuestion(torch.tensor(ARCH_34), wrong=tuple((torch.tensor(a), hint) for a, hint in WRONG_ARCH),
                                 hint="Four pairs (blocks, channels); the numbers of blocks stand in the exercise."),
    "build-it-4": Function(_loop, hint="The weights after two epochs are others than those of the loop on this page "
                                       "(without weight decay). Compare line by line; keep order, batch and rate."),
}
