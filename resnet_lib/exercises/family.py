"""Checks of the chapter "The ResNet family"."""

from itertools import pairwise

import torch
import torch.nn as nn
import torch.nn.functional as F

from .. import nets
from ..checks import Function, Number, difference
from ..lab import lookalikes

WIDTHS = (64, 128, 256, 512)


def basic_family(*blocks: int) -> int:
    """Parameters of the ImageNet net with so many basic blocks in its four stages."""
    return _count(blocks)


def _count(blocks, half=True, projection=True, norm=True, shortcut_norm=True, bias=True, stem_norm=True):
    """The count, with something left out that people leave out."""
    total = 7 * 7 * 3 * 64 + 128 * stem_norm + 512 * 1000 + 1000 * bias
    for n, w in zip(blocks, WIDTHS, strict=True):
        total += n * (18 * w * w + 4 * w * norm)
        if w > 64:
            total += (w * w // 2 + 2 * w * shortcut_norm) * projection - 9 * w * w // 2 * half
    return total


SLIPS = (
    ({"half": False}, "In the first block of a later stage one convolution has only half as many inputs."),
    ({"projection": False}, "Where the shape changes the shortcut needs weights, too."),
    ({"norm": False, "shortcut_norm": False, "stem_norm": False}, "Batch norm has weights: two for each channel."),
    ({"shortcut_norm": False}, "The projections on the shortcuts have a batch norm, too."),
    ({"stem_norm": False}, "One batch norm is missing: that of the stem."),
    ({"norm": False}, "The batch norms inside the blocks are missing."),
    ({"bias": False}, "The linear layer has a bias."),
)


def _basic_family(f):
    cases = ((2, 2, 2, 2), (3, 4, 6, 3), (1, 1, 1, 1), (1, 3, 2, 5))
    got = [float(f(*case)) for case in cases]
    if got == [_count(case) for case in cases]:
        return None
    for left_out, hint in SLIPS:
        if got == [_count(case, **left_out) for case in cases]:
            return hint
    if [b - a for a, b in pairwise(got)] == [_count(b) - _count(a) for a, b in pairwise(cases)]:
        return "The blocks are right. What is off is the same for every net: stem, or linear layer."
    if got[0] == _count(cases[0]):
        return "It is right for ResNet-18 only. How does each term depend on the number of blocks?"
    return ("Count part by part: stem, blocks as if all were alike, what the first block of a later stage has less and "
            "more, linear layer.")


def _stages(f):
    made = f()
    if not isinstance(made, nn.Module):
        return f"The function has to return a module, got {type(made).__name__}."
    stages = list(made.children())
    if len(stages) != 4:
        return f"There have to be four stages, got {len(stages)}."
    x = torch.rand(2, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    maps, y = [], x
    for stage in stages:
        y = stage(y)
        maps.append(y.shape[-1])
    if maps != [16, 8, 4, 2]:
        return _of_maps(maps)
    right = nn.Sequential(*(getattr(nets.resnet(18), f"layer{k}") for k in (1, 2, 3, 4)))
    lookalikes.stir_batch_norm(right)
    try:
        made.load_state_dict(right.state_dict(), strict=True)
    except RuntimeError:
        return "The maps are right, but the weights do not fit a ResNet-18 any more: change the strides only."
    with torch.no_grad():
        if difference(made.eval()(x), right.eval()(x)) is not None:
            return "Maps and weights are right, but with the same weights it computes something else."
    return None


def _of_maps(maps):
    known = {(16, 16, 16, 16): "Still no stage halves its map. What makes a convolution skip pixels?",
             (8, 8, 8, 8): "Now the very first block shrinks, and no other. This is the second net of the court.",
             (8, 4, 2, 1): "The first stage shrinks, too. In front of it the max-pooling already did.",
             (16, 4, 1, 1): "A later stage shrinks twice. Only its first block may."}
    return known.get(tuple(maps)) or f"From 16 pixels a side the four stages make {', '.join(map(str, maps))}."


def folded(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the convolution that does what ``conv`` and ``bn`` do in evaluation mode."""
    s = bn.weight / (bn.running_var + bn.eps).sqrt()
    return conv.weight * s[:, None, None, None], bn.bias - s * bn.running_mean


def _fold(f):
    g = torch.Generator().manual_seed(1)
    conv, bn = nn.Conv2d(5, 5, 1, 2, bias=False), nn.BatchNorm2d(5, eps=0.1)
    with torch.no_grad():
        conv.weight.normal_(generator=g)
        for t, low in ((bn.weight, 0.5), (bn.bias, -1), (bn.running_mean, 0.5), (bn.running_var, 0.5)):
            t.uniform_(low, 2, generator=g)
    before = [t.clone() for t in (conv.weight, *bn.state_dict().values())]
    got = f(conv, bn.eval())
    if not all(map(torch.equal, before, (conv.weight, *bn.state_dict().values()))):
        return "Your function changes the layers that it is given. Return new tensors."
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "Return two things: the weight, and the bias."
    weight, bias = got
    want_weight, want_bias = folded(conv, bn)
    wrong = _of_weight(weight, want_weight, conv, bn) or _of_bias(bias, want_bias, bn)
    if wrong:
        return wrong
    x = torch.rand(2, 5, 4, 4, generator=g)
    return difference(F.conv2d(x, weight, bias, 2), bn(conv(x)))


def _of_weight(weight, want, conv, bn):
    problem = difference(weight, want)
    if problem is None:
        return None
    s = bn.weight / (bn.running_var + bn.eps).sqrt()
    for wrong, hint in (
            (conv.weight * (bn.weight / bn.running_var.sqrt())[:, None, None, None], "ε is missing."),
            (conv.weight * (bn.weight / (bn.running_var + bn.eps))[:, None, None, None],
             "Divide by the standard deviation, not by the variance."),
            (conv.weight * (bn.weight / (bn.running_var.sqrt() + bn.eps))[:, None, None, None],
             "ε is added to the variance, before the root is taken."),
            (conv.weight * bn.weight[:, None, None, None], "The division by the standard deviation is missing."),
            (conv.weight * s[None, :, None, None], "You scale the input channels. Batch norm acts on the output's."),
            (conv.weight, "The weights are unchanged, but batch norm also scales.")):
        if difference(weight, wrong) is None:
            return f"The weight: {hint}"
    return f"The weight: {problem}"


def _of_bias(bias, want, bn):
    problem = difference(bias, want)
    if problem is None:
        return None
    s = bn.weight / (bn.running_var + bn.eps).sqrt()
    for wrong, hint in ((bn.bias, "The mean is subtracted, too; where did it go?"),
                        (bn.bias - bn.running_mean, "The mean is subtracted before the scale is applied."),
                        (bn.bias + s * bn.running_mean, "The sign of the mean's part."),
                        (-s * bn.running_mean, "β is missing.")):
        if difference(bias, wrong) is None:
            return f"The weight is right. The bias: {hint}"
    return f"The weight is right. The bias: {problem}"


CHECKS = {
    "family-1": Number(
        20.0, rel=1e-6,
        wrong=((19, "A basic block has more than one convolution."),
               (18, "Six parameter tensors more, and the same depth?"),
               (21, "A bottleneck would have nine tensors more, not six."),
               (24, "Batch norm has parameter tensors, too, and is not counted."),
               (9, "This is the number of blocks. The name counts layers.")),
        hint="Which block has 4,720,640 parameters in six tensors? Then count the layers of the main path."),
    "family-2": Number(
        float(16 * 17 * 128**2 * 28**2), rel=0.02,
        wrong=((17 * 128**2 * 28**2, "That is one block. How many are there more?"),
               (24 * 17 * 128**2 * 28**2, "ResNet-152 has some of these blocks, too."),
               (16 * 18 * 128**2 * 28**2, "18 w² is a basic block."),
               (16 * 17 * 128**2 * 56**2, "The maps of the second stage are smaller."),
               (16 * 17 * 128**2 * 14**2, "The maps of the second stage are larger."),
               (16 * 17 * 128**2, "These are the weights. Each is used once for every pixel."),
               (2 * 16 * 17 * 128**2 * 28**2, "This counts two operations for each MAC.")),
        hint="Weights of one bottleneck, times the pixels of the second stage, times the blocks that are new."),
    "family-3": Function(_basic_family),
    "family-4": Function(_stages, beside=True),
    "family-5": Function(_fold),
    "family-6": Number(
        (3.664 / 0.6) / (98 / 41), rel=0.01,
        wrong=((98 / 41, "That is how many times as fast the net is. How many times fewer are its MACs?"),
               (3.664 / 0.6, "That is how many times fewer the MACs are. How many times as fast is the net?"),
               ((98 / 41) / (3.664 / 0.6), "This is the quotient the other way round: more slowly, so above one."),
               ((3.664 / 0.6) * (98 / 41), "One of the two factors has to be divided by the other."),
               (3.664 / 98 * 1000, "This is the rate of ResNet-34 alone.")),
        hint="Compute billions of MACs a second for both nets, and divide."),
}
