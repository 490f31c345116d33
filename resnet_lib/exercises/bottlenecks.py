"""Checks of the chapter "Bottlenecks"."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from ..checks import Function, Module, Number, difference


def equal_width(channels: float, width: float) -> float:
    """Channels of the basic block that costs what a bottleneck (C, w) costs: 18 c² = 2 C w + 9 w²."""
    return math.sqrt((2 * channels * width + 9 * width**2) / 18)


def _equal_width(f):
    cases = ((256, 64), (512, 64), (64, 64), (100, 30))
    mistakes = (
        (lambda c, w: math.sqrt((c * w + 9 * w**2) / 18), "One of the two 1×1 convolutions is missing."),
        (lambda c, w: math.sqrt((2 * c * w + 9 * w**2) / 9), "A basic block has two 3×3 convolutions."),
        (lambda c, w: math.sqrt((2 * c * w + w**2) / 18), "The 3×3 has nine weights for each pair of channels."),
        (lambda c, w: (2 * c * w + 9 * w**2) / 18, "This is the square of the width."),
        (lambda c, w: math.sqrt((2 * c * w + 9 * w**2) / 2), "The basic block's 3×3 have nine weights for each pair, "
                                                            "too."),
    )
    got = [float(f(c, w)) for c, w in cases]
    if all(math.isclose(g, equal_width(*case), rel_tol=1e-6) for g, case in zip(got, cases, strict=True)):
        return None
    if all(abs(g - equal_width(*case)) <= 1 and g == int(g) for g, case in zip(got, cases, strict=True)):
        return "This is rounded. Give the exact width, even where it is not whole."
    for wrong, hint in mistakes:
        if all(math.isclose(g, wrong(*case), rel_tol=1e-6) for g, case in zip(got, cases, strict=True)):
            return hint
    return "Set the weights of both blocks equal, and solve for the channels c of the basic one."


def _bottleneck(cls):
    c_in, width = 12, 3
    block = cls(c_in, width)
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    if len(convs) != 3:
        return f"The block has {len(convs)} convolutions; the input has the shape of the output, so it takes three."
    kernels = [m.kernel_size[0] for m in convs]
    if kernels != [1, 3, 1]:
        return f"The kernels are now {', '.join(map(str, kernels))}; they were 1, 3, 1, and that was right."
    shapes = [(m.in_channels, m.out_channels) for m in convs]
    if shapes != [(12, 3), (3, 3), (3, 12)]:
        if shapes[1] == (3, 12):
            return "The 3×3 still widens. Which of the three layers is to restore the channels?"
        if shapes[0][1] != 3:
            return "The first 1×1 has to reduce to `width` channels."
        return "The 3×3 is to map `width` channels to as many, and the last 1×1 to restore `4 * width`."
    norms = [m.num_features for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms != [3, 3, 12]:
        return f"The batch norms have {norms} channels. Each has to fit the convolution before it."
    return _computes(block.eval(), convs)


def _computes(block, convs):
    g = torch.Generator().manual_seed(0)
    x = torch.rand(2, 12, 5, 5, generator=g)
    with torch.no_grad():
        scale = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in scale:  # none is the identity, which nobody would miss
            nn.init.uniform_(norm.weight, 0.5, 1.5, generator=g)
            nn.init.uniform_(norm.bias, 0.1, 0.5, generator=g)
        a = F.relu(scale[0](convs[0](x)))
        b = F.relu(scale[1](convs[1](a)))
        f = scale[2](convs[2](b))
        got = block(x.clone())
    if difference(got, F.relu(f + x)) is None:
        return None
    if difference(got, F.relu(f)) is None:
        return "The addition is gone."
    if difference(got, F.relu(convs[2](F.relu(convs[1](F.relu(convs[0](x))))) + x)) is None:
        return "The batch norms are made, and not called."
    if difference(got, f + x) is None:
        return "The ReLU after the addition is gone."
    return "The layers are right, but they are not put together as before: relu(F(x) + x)."


CHECKS = {
    "bottlenecks-1": Number(
        68_883_240.0, rel=0.03,  # torchvision's wide_resnet50_2
        wrong=((2 * 25_557_032.0, "Twice the channels are not twice the weights: the 3×3 has both ends doubled."),
               (4 * 25_557_032.0, "Only the 3×3 grows fourfold. The 1×1 convolutions have one end outside."),
               (25_557_032.0 * 52 / 17, "The linear layer, the projections and the stem do not grow."),
               (20.7e6 * 52 / 17, "These are the blocks alone. What else has ResNet-50?"),
               (20.7e6 * 2 + 4.9e6, "The 1×1 convolutions double, but the 3×3 has both ends doubled."),
               (20.7e6 * 4 + 4.9e6, "The 3×3 grows fourfold, but the 1×1 convolutions have one end outside.")),
        hint="Put C = 4w and 2w inside into the formula for a bottleneck, and compare with 17 w²."),
    "bottlenecks-2": Function(_equal_width),
    "bottlenecks-3": Module(_bottleneck, want="class"),
    "bottlenecks-4": Number(
        (math.sqrt(163) - 1) / 9, rel=0.003,
        wrong=((1.5, "That is where the slider has passed it. The exact ratio lies between two of its positions."),
               (1.25, "There the bottleneck is still cheaper. The exact ratio lies between two of the positions."),
               (1.0, "At w = C it has 11 C² weights, and the basic block 18 C²: still cheaper."),
               (math.sqrt(2), "The two 1×1 convolutions cost something, too."),
               (9 / (math.sqrt(163) - 1), "This is C/w. The question is for w/C.")),
        hint="Put w = r C into 2 C w + 9 w² = 18 C², and solve for r."),
    "bottlenecks-6": Number(
        18 * 12_845_056.0, rel=0.001,
        wrong=((6 * 12_845_056.0, "One stage, or what these 1×1 cost with the stride. Asked for is the "
                                   "difference, over three stages."),
               (24 * 12_845_056.0, "That is what these 1×1 cost in all now. And before?"),
               (9 * 12_845_056.0, "The first 1×1 of such a block reads 2w channels, not w."),
               (36 * 12_845_056.0, "Twice too much: the 1×1 reads 2w channels, those that the stage before "
                                    "gives out, and a MAC counts once.")),
        hint="Only the first 1×1 of a stage's first block computes at other pixels: four times as many."),
}
