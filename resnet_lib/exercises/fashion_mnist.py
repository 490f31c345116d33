"""Checks of the chapter "Clothes: Fashion-MNIST"."""

import torch
from torch import nn

from ..checks import Function, Number, as_number


def _layout(blocks=(3, 4, 6, 3), widths=(64, 128, 256, 512)):
    """Biases of d2l's layout and weights of the batch norms it leaves out."""
    inside = sum(2 * n * c for n, c in zip(blocks, widths, strict=True))
    return 64 + inside + sum(widths[1:]), 2 * sum(widths[1:])


BIASES, NORMS = _layout()


def _sides(f):
    lasts = (1, 2, 3, 7, 16)
    slips = (
        (lambda m: (32 * m, 32 * m + 31), "This rounds down. With this padding a layer of stride 2 rounds up: try 33 "
                                          "pixels."),
        (lambda m: (32 * m, 32 * m), "There are several such sides, since each of the layers rounds."),
        (lambda m: (32 * (m - 1), 32 * m), "Look at the smallest side again: 32 pixels end as one, not as two."),
        (lambda m: (16 * (m - 1) + 1, 16 * m), "One halving is missing: stem, pooling, three stages."),
        (lambda m: (64 * (m - 1) + 1, 64 * m), "One halving too many: the first stage does not shrink."),
        (lambda m: (8 * (m - 1) + 1, 8 * m), "The stem shrinks twice, by its convolution and by its pooling."),
        (lambda m: (32 * m, 32 * (m - 1) + 1), "The other way round: the smallest side first."),
    )
    got = []
    for last in lasts:
        pair = f(last)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            return "Return two numbers: the smallest side and the largest."
        got.append(tuple(as_number(side) for side in pair))

    def gives(formula):
        return all(pair == formula(last) for pair, last in zip(got, lasts, strict=True))

    if gives(lambda m: (32 * (m - 1) + 1, 32 * m)):
        return None
    return next((hint for formula, hint in slips if gives(formula)), "")


def _net() -> nn.Module:
    """Its answer depends on the batch in training mode, and not in evaluation mode."""
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.eye(2))
    return net.double()


def _accuracy(f):
    # chosen so that the four ways to compute it give four numbers
    x = torch.tensor([[8, 7], [1, 4], [8, 9], [2, 5], [0, 1], [0, 1], [9, 5], [5, 3], [9, 7], [6, 0]]).double()
    y = torch.tensor([0, 0, 1, 1, 1, 0, 0, 0, 1, 1])
    batches = list(zip(x.split(4), y.split(4), strict=True))
    values = {}
    for mode in (True, False):
        hits = [(_net().train(mode)(a).argmax(1) == b).double() for a, b in batches]
        values[mode] = (torch.cat(hits).mean().item(), sum(h.mean().item() for h in hits) / len(hits))
    for mode in (False, True):
        net = _net().train(mode)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        got = as_number(f(net, batches))
        problem = _problem(got, values, net, mode, before)
        if problem is not None:
            return problem
    return None


def _problem(got, values, net, mode, before):
    (right, means), (right_training, _) = values[False], values[True]
    if abs(got - means) < 1e-6:
        return "This is the mean of the batches' means. The last batch has fewer pictures."
    if abs(got - right_training) < 1e-6 and mode:
        return "The net came in training mode and was used in it: batch normalization took each batch's statistics."
    if abs(got - 10 * right) < 1e-6:
        return "This is the number of right answers. The question asks for a share."
    if abs(got - right) > 1e-6:
        return ""
    if any(not torch.equal(v, before[k]) for k, v in net.state_dict().items()):
        return "It changed the running statistics: the net was in training mode while it looked at test pictures."
    if net.training != mode:
        return f"It found the net in {'training' if mode else 'evaluation'} mode and left it in the other."
    return None


CHECKS = {
    "fashion-mnist-1": Number(
        BIASES - NORMS, rel=0.002,
        wrong=((BIASES, "These are the biases alone. What is missing in the shortcuts is to be subtracted."),
               (BIASES + NORMS, "The shortcuts have no batch normalization here: that is fewer parameters, not more."),
               (BIASES - NORMS // 2, "A batch normalization has two weights a channel."),
               (BIASES - NORMS // 2 - NORMS, "The three shortcuts' 1×1 convolutions have biases as well."),
               (BIASES - NORMS - 64, "The stem's convolution has biases as well."),
               (3008, "That is ResNet-18."), (4800, "Those are the biases of ResNet-18.")),
        hint="One bias for each output channel of each convolution: stem, two in each block, three shortcuts. Then "
             "take off the batch norms."),
    "fashion-mnist-2": Function(_sides, hint="Work out one such layer for 7 and for 8 pixels by hand, then "
                                                "count the layers."),
    "fashion-mnist-3": Function(_accuracy, hint="Count right answers and pictures over all batches, and divide once."),
    "fashion-mnist-4": Number(
        600_000 / 68 / 3600 - 600_000 / 83 / 3600, rel=0.03,
        wrong=((60_000 / 68 / 3600 - 60_000 / 83 / 3600, "That is one epoch."),
               (600_000 / 15 / 3600, "Rates cannot be subtracted: the times can."),
               (600_000 / 68 - 600_000 / 83, "This is in seconds."),
               (600_000 / 68 / 60 - 600_000 / 83 / 60, "This is in minutes."),
               (600_000 / 68 / 3600, "That is the time with d2l's loop. How much less is it with ours?"),
               (600_000 / 83 / 3600, "That is the time with ours. How much less is it?")),
        hint="Pictures divided by pictures a second are seconds, for each of the two. Then subtract."),
}
