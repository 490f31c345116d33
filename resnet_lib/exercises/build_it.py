"""Checks of the chapter "Build a residual network"."""

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import BasicBlock, PadShortcut, PlainBlock
from ..checks import Function, Module, Tensor as TensorQuestion, difference
from ..probes import run_watched

# --- the block from memory ------------------------------------------------------------------------------

# (c_in, c_out, stride, residual)
BLOCKS = ((8, 8, 1, True), (8, 16, 2, True), (8, 16, 1, True), (8, 8, 2, True), (8, 8, 1, False), (8, 16, 2, False))


def _block(cls):
    generator = torch.Generator().manual_seed(0)
    for case in BLOCKS:
        c_in, c_out, stride, residual = case
        problem = _one_block(cls, case, torch.randn(4, c_in, 7, 6, generator=generator))
        if problem is not None:
            plain = "" if residual else " and residual=False"
            return f"With {c_in} channels in, {c_out} out, stride {stride}{plain}: {problem}"
    return None


def _one_block(cls, case: tuple, x: Tensor) -> str | None:
    c_in, c_out, stride, residual = case
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = cls(c_in, c_out, stride, residual).train()
    for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(2))
    x = 1 * x.clone().requires_grad_()  # no leaf, which cannot be overwritten
    got, ran = run_watched(block, x, (nn.Conv2d, nn.BatchNorm2d))
    ours = BasicBlock(c_in, c_out, stride, "A") if residual else PlainBlock(c_in, c_out, stride)
    want = ours.train()(x)
    if isinstance(got, Tensor) and got.shape != want.shape:
        return f"a batch of shape {tuple(x.shape)} becomes {tuple(got.shape)}, and should become {tuple(want.shape)}."
    problem = _layers_into(ours, ran)
    if problem is not None:
        return problem
    if difference(got, ours(x), 1e-4, 1e-5) is None:
        return same_gradient(got, ours(x), x)
    slips = _slips(ours, stride) if residual else [
        ("a plain block has a ReLU at its end.", ours.residual),
        ("the shortcut is added, and a plain block adds nothing.", lambda x: F.relu(ours.residual(x) + _pad(ours, x)))]
    return next((words for words, forward in slips if difference(got, forward(x), 1e-4, 1e-5) is None),
                "the layers are right, but the output is not what they should give together.")


def _layers_into(ours: nn.Module, ran: list[nn.Module]) -> str | None:
    """Give our block the layers of the student's; what is wrong with these, if they do not fit."""
    if len(set(ran)) < len(ran):
        return "a layer is used twice. Each convolution needs a batch normalization of its own."
    convs = [m for m in ran if isinstance(m, nn.Conv2d)]
    if any(conv.kernel_size != (3, 3) for conv in convs):
        return "a convolution that is not 3×3 ran. The shortcut of this exercise has no weights."
    if len(convs) != 2:
        return f"{len(convs)} convolutions of 3×3 ran (nn.Conv2d), and F has two."
    if [type(m) for m in ran] != [nn.Conv2d, nn.BatchNorm2d] * 2:
        return "each of the two convolutions is followed by a batch normalization (nn.BatchNorm2d)."
    if any(conv.bias is not None for conv in convs):
        return "the convolutions have biases, which the batch normalization behind them subtracts again: bias=False."
    problem = adopt((ours.conv1, ours.bn1, ours.conv2, ours.bn2), ran)
    if problem is not None:
        return problem
    if [conv.stride for conv in convs] != [ours.conv1.stride, ours.conv2.stride]:
        return "the stride belongs to the first convolution of F."
    return None


def same_gradient(got: Tensor, want: Tensor, x: Tensor) -> str | None:
    """What is wrong where two equal outputs send different gradients back to x."""
    if got.requires_grad:
        ours, theirs = (torch.autograd.grad(out.square().sum(), x)[0] for out in (want, got))
        if difference(theirs, ours, 1e-3, 1e-4) is None:
            return None
    return "the output is right, but the gradient that goes back to x is another. Something is cut off from it."


def adopt(layers: Sequence[nn.Module], ran: Sequence[nn.Module]) -> str | None:
    """Give our layers the weights of the student's, in their order; in words the first shape that does not fit."""
    for theirs, layer in zip(ran, layers, strict=True):
        if theirs.weight.shape != layer.weight.shape:
            return f"a layer has weights of shape {tuple(theirs.weight.shape)}, not {tuple(layer.weight.shape)}."
        with torch.no_grad():
            layer.weight.copy_(theirs.weight)
            if isinstance(layer, nn.BatchNorm2d):
                layer.bias.copy_(theirs.bias)
    return None


def _pad(ours: BasicBlock, x: Tensor) -> Tensor:
    """The shortcut, for plain blocks too, which have none."""
    return PadShortcut(ours.conv1.in_channels, ours.conv2.out_channels, ours.conv1.stride[0])(x)


def _slips(ours: BasicBlock, stride: int) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """Forward passes that people write instead, with the words for each."""
    branch, new = ours.residual, ours.conv2.out_channels - ours.conv1.in_channels

    def shortcut(x):
        return _pad(ours, x)

    def in_front(x):
        return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, new, 0))

    return [
        ("nothing is added: without the shortcut this is the plain block.", lambda x: F.relu(branch(x))),
        ("the last ReLU is missing: it stands behind the addition.", lambda x: branch(x) + shortcut(x)),
        ("there is a ReLU at the end of F, in front of the addition: then the branch can only add.",
         lambda x: F.relu(F.relu(branch(x)) + shortcut(x))),
        ("the last ReLU stands at the end of F, and none behind the addition, where it belongs.",
         lambda x: F.relu(branch(x)) + shortcut(x)),
        ("the ReLU between the two convolutions is missing.",
         lambda x: F.relu(ours.bn2(ours.conv2(ours.bn1(ours.conv1(x)))) + shortcut(x))),
        ("the shortcut goes through a ReLU.", lambda x: F.relu(branch(x) + F.relu(shortcut(x)))),
        ("the channels of zeros stand before the others. Append them.", lambda x: F.relu(branch(x) + in_front(x))),
        ("the shortcut takes a mean over pixels. It takes one pixel and leaves the others out.",
         lambda x: F.relu(branch(x) + F.pad(F.avg_pool2d(x, stride, ceil_mode=True), (0, 0, 0, 0, 0, new)))),
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
            return "All three faults are still there." if len(left) == 3 else " ".join(FAULTS[fault] for fault in left)
    return ""


CHECKS = {
    "build-it-1": Module(_block, want="class"),
    "build-it-2": Function(_shapes, hint="Which stages begin with a block of stride 2? How many channels has each?"),
    "build-it-3": TensorQuestion(torch.tensor(ARCH_34), wrong=tuple((torch.tensor(a), hint) for a, hint in WRONG_ARCH),
                                 hint="Four pairs (blocks, channels); the numbers of blocks stand in the exercise."),
    "build-it-4": Function(_loop, hint="After two epochs the weights differ from those of the loop on this page "
                                       "(without weight decay). Compare line by line; keep order, batch and rate."),
}
