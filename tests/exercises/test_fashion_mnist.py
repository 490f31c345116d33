"""The checks of the chapter on Fashion-MNIST: right answers pass, and each usual mistake gets its own hint."""

import pytest
import torch
from torch import nn

from conftest import mostly_slow
from resnet_lib import nets
from resnet_lib.checks import check

from . import right_answers, usual_mistakes


def sides(times=5, last_of=lambda n: (n + 1) // 2):
    """Found by trying: the inputs that ``times`` layers of stride 2 turn into ``last`` pixels."""
    def found(last):
        ends = {}
        for n in range(1, 1_200):
            side = n
            for _ in range(times):
                side = last_of(side)
            ends.setdefault(side, []).append(n)
        return ends[last][0], ends[last][-1]
    return found


def accuracy(mean_of_means=False, evaluate=True, restore=True, scale=1):
    @torch.no_grad()
    def f(net, batches):
        before = net.training
        if evaluate:
            net.eval()
        hits = [(net(x).argmax(1) == y).double() for x, y in batches]
        if restore:
            net.train(before)
        share = sum(h.mean() for h in hits) / len(hits) if mean_of_means else torch.cat(hits).mean()
        return scale * share.item()
    return f


RIGHT = {
    "fashion-mnist-1": 6720,
    "fashion-mnist-2": sides(),
    "fashion-mnist-3": accuracy(),
    "fashion-mnist-4": 0.443,
}
WRONG = [
    ("fashion-mnist-1", 8512, "biases alone"),
    ("fashion-mnist-1", 8512 + 1792, "fewer parameters"),
    ("fashion-mnist-1", 8512 - 896, "two weights"),
    ("fashion-mnist-1", 8512 - 1792 - 896, "shortcuts' 1×1"),
    ("fashion-mnist-1", 8512 - 1792 - 64, "stem's convolution"),
    ("fashion-mnist-1", 3008, "ResNet-18"),
    ("fashion-mnist-1", 12_345, "One bias for each"),
    ("fashion-mnist-2", sides(last_of=lambda n: n // 2), "rounds down"),
    ("fashion-mnist-2", lambda m: 32 * m, "two numbers"),
    ("fashion-mnist-2", lambda m: (32 * m, 32 * m), "several such sides"),
    ("fashion-mnist-2", lambda m: (32 * (m - 1), 32 * m), "Look at the smallest"),
    ("fashion-mnist-2", sides(4), "is missing"),
    ("fashion-mnist-2", sides(6), "too many"),
    ("fashion-mnist-2", sides(3), "shrinks twice"),
    ("fashion-mnist-2", lambda m: sides()(m)[::-1], "other way round"),
    ("fashion-mnist-2", lambda m: (1, 2), "count the layers"),
    ("fashion-mnist-3", accuracy(mean_of_means=True), "mean of the batches"),
    ("fashion-mnist-3", accuracy(evaluate=False), "each batch's statistics"),
    ("fashion-mnist-3", accuracy(restore=False), "left it in the other"),
    ("fashion-mnist-3", accuracy(scale=10), "asks for a share"),
    ("fashion-mnist-3", lambda net, batches: 0.123, "divide once"),
    ("fashion-mnist-4", 0.0443, "one epoch"),
    ("fashion-mnist-4", 11.1, "Rates cannot"),
    ("fashion-mnist-4", 1594.6, "seconds"),
    ("fashion-mnist-4", 26.6, "minutes"),
    ("fashion-mnist-4", 2.45, "with d2l's loop"),
    ("fashion-mnist-4", 2.01, "time with ours"),
    ("fashion-mnist-4", 5.0, "Then subtract"),
]


test_the_right_answer_passes = right_answers(RIGHT)
test_each_mistake_gets_its_own_hint = usual_mistakes(WRONG)


def test_the_function_as_it_is_given_has_both_faults():
    def given(net, batches):
        shares = []
        for x, y in batches:
            shares.append((net(x).argmax(1) == y).float().mean().item())
        return sum(shares) / len(shares)
    assert "mean of the batches" in str(check("fashion-mnist-3", given))  # the other one is named when this is mended


def test_the_layout_of_resnet_18_is_counted_by_the_same_rule():
    """2 blocks a stage: 4,800 biases and 1,792 weights of batch norms, as the nets themselves have it."""
    from resnet_lib.exercises.fashion_mnist import _layout

    ours, usual = nets.d2l_resnet18(), nets.resnet(18, num_classes=10, in_channels=1)
    biases, norms = _layout((2, 2, 2, 2))
    assert biases == sum(m.bias.numel() for m in ours.modules() if isinstance(m, nn.Conv2d))
    assert biases - norms == sum(p.numel() for p in ours.parameters()) - sum(p.numel() for p in usual.parameters())


@pytest.mark.parametrize("last", mostly_slow([1, 2, 3, 7], 2))
def test_the_sides_are_those_at_which_the_net_does_it(last):
    def ends(side):
        return dict(nets.cost(nets.d2l_resnet18(), (1, side, side)).stages)["layer4"][-1]

    smallest, largest = RIGHT["fashion-mnist-2"](last)
    assert ends(smallest) == ends(largest) == last and ends(largest + 1) == last + 1
    assert smallest == 1 or ends(smallest - 1) == last - 1
