"""What the chapter on MNIST says, where it could be wrong."""

from dataclasses import replace
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, lr_scheduler as lrs

from resnet_lib import data, experiments, nets, train
from resnet_lib.exercises.mnist import merged_by_loop
from resnet_lib.lab import calibration
from resnet_lib.recipe import Execution, Recipe


def logits(n=400, scale=3.0, seed=0):
    """Logits and labels: the labels are drawn from softmax of the logits, so that `scale` 1 keeps them calibrated."""
    g = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, 10, generator=g)
    return scale * z, torch.multinomial(z.softmax(1), 1, generator=g)[:, 0]


# --- the net


def test_the_parameters_are_the_sum_in_the_text():
    net = nets.mnist_simple()
    count = {k: sum(p.numel() for p in net[k].parameters()) for k in (0, 3, 4, 7, 9)}
    assert count == {0: 520, 3: 20_450, 4: 2_715, 7: 15_345, 9: 3_760} and sum(count.values()) == 42_790


def test_torch_initialization_draws_what_torchs_layers_draw():
    layers = nn.Conv2d(3, 4, 3), nn.Linear(5, 2), nn.Conv2d(2, 2, 1, bias=False)
    for layer in layers:
        torch.manual_seed(3)
        layer.reset_parameters()
        theirs = copy.deepcopy(layer.state_dict())
        nets.init_weights(layer, "torch", torch.Generator().manual_seed(3))
        assert all(torch.equal(theirs[k], v) for k, v in layer.state_dict().items())


def test_the_two_convolutions_of_a_block_are_one_of_7_by_7():
    torch.manual_seed(0)
    block = nets.mnist_simple().double()[3]
    nn.init.normal_(block.conv1.bias)
    nn.init.normal_(block.conv2.bias)
    K = merged_by_loop(block.conv1.weight.detach(), block.conv2.weight.detach())
    b = block.conv2.weight.sum((2, 3)) @ block.conv1.bias + block.conv2.bias
    assert K.shape == (20, 20, 7, 7) and K.numel() + b.numel() == 19_620
    x = torch.randn(2, 20, 12, 12, dtype=torch.float64)
    one, two = F.conv2d(x, K, b, padding=3), block.conv2(block.conv1(x))
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(one[inside], two[inside], atol=1e-10)
    assert not torch.allclose(one, two, atol=1e-3)  # the border
    K[:, torch.arange(20), 3, 3] += torch.eye(20).double()  # the addition, too
    assert torch.allclose(F.conv2d(x, K, b, padding=3)[inside].relu(), block(x)[inside], atol=1e-10)
    with_relu = block.conv2(F.relu(block.conv1(x)))
    assert not torch.allclose(one[inside], with_relu[inside], atol=1e-1)


# --- the loss, its parts, and calibration


def test_the_parts_of_the_loss_add_up():
    z, y = logits()
    part = calibration.split(z, y)
    right = z.argmax(1) == y
    assert part.mean == pytest.approx(F.cross_entropy(z, y).item(), rel=1e-6)
    assert part.error == pytest.approx(1 - right.float().mean().item())
    mean_of_right = F.cross_entropy(z[right], y[right]).item()
    assert part.right == pytest.approx(mean_of_right * right.float().mean().item(), rel=1e-5)


def test_the_derivative_by_the_factor_is_as_in_the_text():
    z, y = logits()
    z, beta = z.double(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(F.cross_entropy(beta * z, y), beta, create_graph=True)
    p = (beta * z).softmax(1)
    assert slope.item() == pytest.approx(((p * z).sum(1) - z[torch.arange(len(y)), y]).mean().item())
    curvature, = torch.autograd.grad(slope, beta)
    assert curvature.item() == pytest.approx(((p * z**2).sum(1) - (p * z).sum(1) ** 2).mean().item())


def ece_by_loop(z, y, bins):
    total = 0.0
    probabilities = z.double().softmax(1)
    for m in range(bins):
        inside = [(p.max().item(), int(p.argmax()) == int(t)) for p, t in zip(probabilities, y, strict=True)
                  if m / bins < p.max().item() <= (m + 1) / bins]
        if inside:
            accuracy = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(y) * abs(accuracy - sum(c for c, _ in inside) / len(inside))
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_is_that_of_a_plain_loop(bins):
    for scale in (0.5, 1.0, 4.0):
        z, y = logits(scale=scale)
        assert calibration.ece(z, y, bins) == pytest.approx(ece_by_loop(z, y, bins), abs=1e-12)


def test_a_calibrated_net_has_an_ece_above_zero_that_the_simulation_foresees():
    found = [calibration.ece(*logits(scale=1.0, seed=s)) for s in range(20)]
    foreseen = calibration.ece_if_calibrated(logits(scale=1.0)[0])
    assert min(found) > 0.005 and sum(found) / 20 == pytest.approx(foreseen, rel=0.2)
    assert calibration.ece(*logits(scale=4.0)) > 3 * foreseen


def test_temperature_is_the_minimum_and_changes_no_prediction():
    z, y = logits(n=4000, scale=2.5)
    T = calibration.temperature(z, y)
    assert T == pytest.approx(2.5, rel=0.06)  # the labels were drawn at that temperature
    grid = [F.cross_entropy(z.double() / t, y).item() for t in torch.linspace(0.5, 6, 200).tolist()]
    assert F.cross_entropy(z.double() / T, y).item() <= min(grid) + 1e-9
    assert torch.equal((z / T).argmax(1), z.argmax(1))


def test_without_a_mistake_there_is_no_best_temperature():
    z = logits()[0]
    assert calibration.temperature(z, z.argmax(1)) == pytest.approx(0.01, rel=1e-3)
    assert calibration.temperature(z, z.argmin(1)) == pytest.approx(100, rel=1e-3)


def test_logits_are_those_of_evaluation_mode_and_leave_the_net_as_it_was():
    net = nets.mnist_simple(norm=True)
    x = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    before = copy.deepcopy(net.state_dict())
    together, apart = calibration.logits(net.train(), x), calibration.logits(net, x, batch=3)
    assert net.training and torch.allclose(together, apart, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


# --- schedules and means


@pytest.mark.parametrize("make, rate", [
    (lambda o: lrs.StepLR(o, 10), 0.1), (lambda o: lrs.LinearLR(o), 0.1 / 3),
    (lambda o: lrs.OneCycleLR(o, 0.1, total_steps=99), 0.1 / 25),
    (lambda o: lrs.LambdaLR(o, lambda k: (k + 1) / 50), 0.002),
])
def test_which_schedulers_change_the_rate_when_they_are_made(make, rate):
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    kept = make(optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate) and kept is not None


def test_the_published_schedule_is_never_stepped_and_the_others_are():
    for seed in (0, 1, 2):
        run = experiments.job("mnist_simple", "paper", "published", seed)
        assert {run.recipe.lr_at(step) for step in range(run.recipe.steps)} == {1e-3}
    ends = {v: experiments.job("mnist_simple", "paper", v).recipe for v in ("repaired", "stepped")}
    assert {round(ends["repaired"].lr_at(step), 9) for step in range(24_388)} == {1e-3, 1e-4, 1e-5}
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = lrs.StepLR(optimizer, 3, 0.1)  # as the published code makes it, stepped after each epoch
    for epoch in range(26):
        for step in (938 * epoch, 938 * epoch + 937):
            assert ends["stepped"].lr_at(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert ends["stepped"].lr_at(24_387) == pytest.approx(1e-11)


def test_only_one_of_three_means_does_not_depend_on_the_batch():
    each = torch.arange(10.0)
    by_pictures = {b: sum(p.mean() for p in each.split(b)) / 10 for b in (1, 3, 4)}
    by_batches = {b: sum(p.mean() for p in each.split(b)) / len(each.split(b)) for b in (1, 3, 4)}
    assert by_pictures[1] == by_batches[1] == each.mean()
    assert by_pictures[4] == pytest.approx((1.5 + 5.5 + 8.5) / 10)
    assert by_batches[3] == pytest.approx((1 + 4 + 7 + 9) / 4)


# --- the declarations, and the runs of the page


def test_declared_as_the_chapter_says():
    tiers = experiments.EXPERIMENTS["mnist_simple"].tiers
    assert {"published", "he", "stepped", "shuffled", "repaired"} == set(tiers["paper"].variants)
    recipes = {v: experiments.job("mnist_simple", "paper", v).recipe for v in tiers["paper"].variants}
    assert {v: r.init for v, r in recipes.items() if v != "he"} == dict.fromkeys(
        ("published", "stepped", "shuffled", "repaired"), "torch")
    assert recipes["he"] == replace(recipes["published"], init="he")
    assert {"shuffled", "scheduled", "normed", "repaired"} <= set(tiers["short"].variants)
    assert tiers["quick"].variants["repaired"].keep == (0,)


@pytest.mark.slow
def test_evaluation_in_training_mode_does_damage_with_one_picture_and_with_sorted_batches():
    names = "mnist_simple", "quick", "repaired"
    net, test = experiments.trained(*names), experiments.job(*names).pictures.load()

    @torch.no_grad()
    def error(mode, batch, order):
        copied = copy.deepcopy(net).train(mode)
        found = torch.cat([copied(test.test_x[i].float() / 255).argmax(1) for i in order.split(batch)])
        return (found != test.test_y[order]).float().mean().item()

    n = len(test.test_y)
    order, by_class = torch.arange(n), test.test_y.argsort(stable=True)
    proper = error(False, 250, order)
    assert error(False, 1, order) == pytest.approx(proper, abs=2 / n)
    assert error(True, 1, order) > proper + 0.005 and error(True, 16, by_class) > proper + 0.02
    assert abs(error(True, 250, order) - proper) < 0.02


@pytest.mark.slow
def test_random_labels_make_the_live_classifier_worse_which_no_temperature_mends():
    """Seed 0, from the lowest test loss to the end. What the net with clean labels does on the way, and by how much
    they differ, depends on the processor's rounding; the page says what came out where it was built."""
    images = data.load_or_digits("mnist").subset(800, 1000).resize(28)
    held_x, held_y = images.train_x[300:], images.train_y[300:]
    recipe = Recipe(steps=300, batch=30, optimizer="adam", lr=6e-3, weight_decay=0.0, augment="none", normalize="unit",
                    drops=(), eval_every=300)
    g = torch.Generator().manual_seed(0)
    noisy = images.train_y[:300].clone()
    swapped = torch.rand(300, generator=g) < 0.2
    noisy[swapped] = torch.randint(0, 10, (int(swapped.sum()),), generator=g)
    raw_rise, scaled_rise, error_rise = [], [], []
    for labels in (images.train_y[:300], noisy):
        run = train.Run(nets.mnist_simple(), replace(images, train_x=images.train_x[:300], train_y=labels), recipe,
                        Execution(device="cpu", threads=1))
        raw, scaled, errors = [], [], []
        while not run.done:
            run.step()
            if run.at % 30 == 0:
                z = calibration.logits(run.net, images.test_x)
                T = calibration.temperature(calibration.logits(run.net, held_x), held_y)
                raw.append(calibration.split(z, images.test_y).mean)
                scaled.append(calibration.split(z / T, images.test_y).mean)
                errors.append(calibration.split(z, images.test_y).error)
        low = raw.index(min(raw))
        for rises, values in ((raw_rise, raw), (scaled_rise, scaled), (error_rise, errors)):
            rises.append(values[-1] - values[low])
    assert raw_rise[1] > 0.2 and min(scaled_rise[1], error_rise[1]) > 0
    assert scaled_rise[1] > scaled_rise[0] and error_rise[1] > error_rise[0]
