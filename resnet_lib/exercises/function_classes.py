"""Answers to the exercises of the chapter *Function classes*."""

import copy

import torch
from torch import nn

from .. import experiments, nets
from ..blocks import BasicBlock, PlainBlock
from ..checks import Function, Number

CHANNELS = 6


def _used_block(seed: int = 0) -> PlainBlock:
    """A plain block whose batch norms have seen data: means, and variances from small to large."""
    g = torch.Generator().manual_seed(seed)
    block = nets.init_weights(PlainBlock(CHANNELS, CHANNELS), "he", g)
    for bn in (block.bn1, block.bn2):
        bn.running_mean.copy_(2 * torch.rand(CHANNELS, generator=g) + 0.5)
        bn.running_var.copy_(10.0 ** torch.linspace(-4.5, 1, CHANNELS))
    return block


@torch.no_grad()
def _identity(identity) -> str | None:
    block = _used_block()
    def statistics(block):
        return [value.clone() for bn in (block.bn1, block.bn2) for value in (bn.running_mean, bn.running_var)]

    before = statistics(block)
    given = identity(block)
    if not isinstance(given, PlainBlock):
        return "Return the block itself, with its weights set."
    if not all(torch.equal(a, b) for a, b in zip(before, statistics(given), strict=True)):
        return "The running statistics come from data and stay as they are; set the kernels, γ and β."
    given.eval()
    x = 9 * torch.rand(4, CHANNELS, 7, 5, generator=torch.Generator().manual_seed(1))
    out = given(x)
    if (out - x).abs().max() < 1e-4 * x.max():
        return None
    if not out.any():
        return "The block gives zero everywhere: a residual block would be the identity now, this one has no addition."
    return _kernel_fault(given) or _norm_fault(given)


def _kernel_fault(block: PlainBlock) -> str | None:
    dirac = nn.init.dirac_(torch.empty(CHANNELS, CHANNELS, 3, 3))
    for kernel in (block.conv1.weight, block.conv2.weight):
        if torch.equal(kernel, dirac):
            continue
        center = kernel[:, :, 1, 1]
        if (center == 1).all():
            return "Each output channel adds up all input channels: the kernel must copy its own channel only."
        if (kernel == 1).all() or (kernel[:, :, 1, 1] == 0).all():
            return "A kernel that copies has a single one, at its center."
        if torch.equal(center, torch.eye(CHANNELS)):
            return "The kernel's center is right; its other entries still mix in the neighbors."
        return "One of the two kernels does not copy its input."
    return None


def _norm_fault(block: PlainBlock) -> str:
    bn = block.bn2
    m, v = bn.running_mean, bn.running_var
    if torch.allclose(bn.weight, v):
        return "γ multiplies (x − m) / √(v + ε): it must undo a division by a root."
    if torch.allclose(bn.weight, v.sqrt(), rtol=1e-5) and torch.allclose(bn.bias, m):
        return "Nearly: in a channel of small variance ε is not negligible."
    if torch.allclose(bn.weight, (v + bn.eps).sqrt(), rtol=1e-5):
        return "The spread is undone. What is still subtracted from each channel?"
    if torch.equal(bn.weight, torch.ones_like(v)):
        return "The kernels copy. But batch norm still subtracts its mean and divides by its deviation."
    return "The kernels copy. Write down what batch norm does in evaluation mode, and solve for γ and β."


def _deepen(deepen) -> str | None:
    net = nets.cifar_resnet(14, width=4)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 8, 8, generator=g)
    for bn in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(bn.weight, 0.5, 1.5, generator=g)
    before = copy.deepcopy(net)
    deep = deepen(net, 2)
    if not isinstance(deep, nn.Module):
        return "Return the deeper net."
    if len(net.layer1) != 2 or any(not torch.equal(a, b) for a, b in zip(net.state_dict().values(),
                                                                         before.state_dict().values(), strict=True)):
        return "The net that was given has changed. Whoever compares the two afterwards compares it with itself."
    lengths = [len(getattr(deep, f"layer{k}")) for k in (1, 2, 3)]
    if lengths != [4, 4, 4]:
        return f"The stages should have four blocks each, they have {lengths}."
    wanted = {k: v.shape for k, v in nets.cifar_resnet(26, width=4).state_dict().items()}
    if {k: v.shape for k, v in deep.state_dict().items()} != wanted:
        return "This is no 6n + 2 net: a new block stands where the old channels and the new ones meet."
    return _same_function(before, deep, x) or _can_learn(deep, x)


def _same_function(net: nn.Module, deep: nn.Module, x: torch.Tensor) -> str | None:
    for training in (False, True):
        net.train(training), deep.train(training)
        if not torch.equal(net(x), deep(x)):
            return "The deeper net computes something else. Which weight of a new block makes its branch zero?"
    return None


def _can_learn(deep: nn.Module, x: torch.Tensor) -> str | None:
    optimizer = torch.optim.SGD(deep.parameters(), lr=0.1)
    y = torch.arange(len(x)) % 10
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(deep(x), y).backward()
        optimizer.step()
    new = [deep.layer2[k] for k in (1, 2)]
    if all(isinstance(b, BasicBlock) and b.conv2.weight.grad.any() and b.conv1.weight.grad.any() for b in new):
        return None
    return "The function is kept, but after two steps a kernel of the new blocks still has a gradient of exactly zero."


def _jump() -> float:
    """Points by which the running training error rises in the first row after the net was deepened, seed 0."""
    record = experiments.run("function_classes", "quick", (0,), ["plain-20-to-56"])[0]
    rows, at = record.rows, record.recipe["deepen_at"]
    before = next(r for r in rows if r["step"] == at)
    after = next(r for r in rows if r["step"] > at)
    return 100 * (after["train_error"] - before["train_error"])


def _jump_of_test() -> float:
    record = experiments.run("function_classes", "quick", (0,), ["plain-20-to-56"])[0]
    rows, at = record.rows, record.recipe["deepen_at"]
    before = next(r for r in rows if r["step"] == at)
    after = next(r for r in rows if r["step"] > at)
    return 100 * (after["test_error"] - before["test_error"])


CHECKS = {
    "function-classes-1": Function(_identity, mutates=True),
    "function-classes-3": Function(_deepen),
    "function-classes-4": Number(
        _jump, rel=0.02, atol=0.05,
        wrong=((_jump_of_test, "That is the test error; the question is about the training error."),),
        hint="Take the row at the step where the net was deepened, and the next one; the recipe says which step.",
        seconds=120),
}
