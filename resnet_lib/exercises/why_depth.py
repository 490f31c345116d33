"""Checks of the chapter "Why go deep"."""

import torch
import torch.nn.functional as F
from torch import nn

from .. import experiments
from ..checks import Module, Number, difference

VGG_FEATURES, HEAD = 14_714_688, 512 * 1000 + 1000  # Simonyan & Zisserman 2014: 13 convolutions with biases


def receptive_field(layers) -> int:
    """Side of the receptive field for (kernel, stride) of each layer."""
    side, apart = 1, 1
    for kernel, stride in layers:
        side, apart = side + (kernel - 1) * apart, apart * stride
    return side


def resnet_18(stem=(7, 2), pool=(3, 2), first=(3, 2), blocks: int = 2) -> list:
    """(kernel, stride) along the branches of ResNet-18; the arguments are for its usual mistakes."""
    same = (3, 1)
    convs = 2 * blocks
    return [stem, pool] + [same] * convs + ([first] + [same] * (convs - 1)) * 3


def _any_size(cls):
    generator = torch.Generator().manual_seed(0)
    for c_in, classes, sides in ((3, 10, ((12, 12), (4, 4), (13, 9), (32, 32))), (1, 4, ((12, 12), (7, 7)))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = cls(c_in, classes).eval()
        if not all(isinstance(getattr(net, name, None), nn.Conv2d) for name in ("conv1", "conv2")):
            return "Keep the two convolutions and their names, conv1 and conv2."
        if (net.conv1.out_channels, net.conv2.out_channels) != (16, 32):
            return "Keep the two convolutions as they are, with 16 and 32 channels."
        for height, width in sides:
            x = torch.randn(3, c_in, height, width, generator=generator)
            try:
                out = net(x)
            except RuntimeError as error:
                return f"With pictures of {height}×{width} it still fails: {str(error).splitlines()[0]}"
            if not isinstance(out, torch.Tensor) or out.shape != (3, classes):
                got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
                return f"Three pictures of {height}×{width} should give {(3, classes)}, got {got}."
            problem = _uses_all(net, x, out)
            if problem is not None:
                return problem
    return None


def _uses_all(net: nn.Module, x: torch.Tensor, out: torch.Tensor) -> str | None:
    """Whether the output depends on the convolutions as it should: nothing cut off, each picture by itself."""
    maps = F.max_pool2d(net.conv2(F.max_pool2d(net.conv1(x).relu(), 2)).relu(), 2)
    heads = [m for m in net.modules() if isinstance(m, nn.Linear)]
    if len(heads) == 1 and heads[0].in_features == 32 and difference(out, heads[0](maps.mean((2, 3))), 1e-4, 1e-5):
        if difference(out, heads[0](maps.amax((2, 3))), 1e-4, 1e-5) is None:
            return None  # a maximum over the pixels takes any size as well
        return "One number a channel is right, but it is not the mean (or maximum) over all pixels of conv2's output."
    if difference(net(x[:1]), out[:1], 1e-4, 1e-5) is not None:
        return "The answer for a picture depends on the pictures beside it."
    if heads and heads[0].in_features > 32 and x.shape[-1] < 8:
        return "For small pictures this takes pixels of the maps more than once. One number a channel is enough."
    return None


def _better_seeds() -> float:
    runs = experiments.run("depth_helps", "quick", (0, 1, 2), ["plain-8", "plain-20"])
    ends = {(r.variant, r.seed): r.final["test_error"] for r in runs}
    return float(sum(ends["plain-20", s] < ends["plain-8", s] for s in (0, 1, 2)))


CHECKS = {
    "why-depth-1": Number(
        receptive_field(resnet_18()), rel=1e-6, wrong=(
            (receptive_field(resnet_18(pool=(1, 2))), "The pooling spans three inputs and adds to the field too."),
            (receptive_field([(7, 2)] + resnet_18()[2:]), "The max-pooling is missing."),
            (receptive_field(resnet_18(first=(3, 1))), "The strides of stages two to four are missing."),
            (receptive_field([(7, 1), (3, 1)] + [(3, 1)] * 16), "Strides count: each doubles what later layers add."),
            (receptive_field(resnet_18(blocks=1)), "That has two convolutions in each stage. Each has four."),
            (receptive_field(resnet_18()) - 1, "An output with no layer at all sees one pixel: begin with 1."),
            (sum(k - 1 for k, _ in resnet_18()) + 1, "Strides count: each doubles what later layers add.")),
        hint="Write down (kernel, stride) for all 18 layers, then use the formula or the function of this page."),
    "why-depth-2": Number(
        float(VGG_FEATURES + HEAD), rel=0.01, wrong=(
            (float(VGG_FEATURES), "Those are the convolutions alone. A linear layer to 1,000 classes is left."),
            (138_357_544.0, "That is VGG-16 as it is."),
            (138_357_544.0 - VGG_FEATURES, "Those are the three layers that go."),
            (float(VGG_FEATURES + 512 * 49 * 1000 + 1000), "The mean leaves one number for each channel, not 49."),
            (20_024_384.0 + HEAD, "That is VGG-19, with three more convolutions.")),
        hint="Thirteen convolutions of 9 · c_in · c_out weights and c_out biases; then 512 to 1,000 numbers."),
    "why-depth-3": Module(_any_size, want="class"),
    "why-depth-4": Number(_better_seeds, rel=1e-6, hint="Compare the two nets seed by seed, test error of the "
                                                        "last row; count the seeds in which plain-20's is lower."),
}
