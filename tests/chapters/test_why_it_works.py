"""What the chapter "Why it works" says of its records and its live cells, on the data that lie here and the digits."""

from math import log
from statistics import median

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import experiments, nets
from resnet_lib.lab import accounts, chains, lesions


def test_plain_nets_shatter_exponentially_and_residual_ones_by_a_steeper_power():
    held = accounts.results("shattered")
    fits = {}
    for kind, found in held["kinds"].items():
        means = zip(held["depths"], found["all pairs"], strict=True)
        clear = [(L, mean) for L, (mean, half) in means if mean > 2 * half]
        fits[kind] = accounts.decay(*zip(*clear, strict=True))
    better = {kind: min(laws, key=lambda law: laws[law][1]) for kind, laws in fits.items()}
    assert [better[k] for k in ("plain", "plain, batch norm", "residual", "residual, 0.1")] == [
        "exponential", "exponential", "power", "exponential"]
    assert fits["plain, batch norm"]["exponential"][0] < 0.4 < 0.6 < fits["plain"]["exponential"][0] < 0.7
    assert fits["residual"]["power"][0] < -1
    assert all(mean == 1 for mean, _ in held["kinds"]["looks linear"]["neighbors"])
    near = {kind: dict(zip(held["depths"], held["kinds"][kind]["neighbors"], strict=True))
            for kind in ("plain", "residual")}
    assert near["plain"][24][0] < 0.01 and near["residual"][50][0] > 0.6


def test_lesions_as_the_chapter_has_them():
    nets_of = lesions.results("seeds")["nets"]

    def lost(kind, which):
        return [[1 - right / net[which][0] for right in net[which][1:]] for net in nets_of[kind]]

    for residual, plain in zip(lost("residual", "correct"), lost("plain", "correct"), strict=True):
        assert median(residual) < median(plain) / 2
    assert max(max(v) for v in lost("residual", "correct")) > 0.5
    assert max(max(v) for v in lost("residual", "again")) < 0.2


def test_the_residual_surface_is_a_bowl_and_the_plain_net_has_hardly_learned():
    seen = accounts.results("surfaces")
    middle = len(seen["offsets"]) // 2
    dents = {name: [accounts.dents(plane) for plane in net["batch"]] for name, net in seen["nets"].items()}
    assert max(dents["residual-56"]) < min(dents["plain-56"]) / 2
    center = {name: net["batch"][0][middle][middle] for name, net in seen["nets"].items()}
    assert center["residual-56"] < 1.8 and 0.9 * log(10) < center["plain-56"] < log(10)
    for net in seen["nets"].values():
        assert max(map(max, net["running"][0])) > 1e4 > max(map(max, net["batch"][0]))


def test_the_share_of_a_branch_follows_the_law_and_normalizing_the_stream_breaks_it():
    x = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    x = x - x.mean(0)

    @torch.no_grad()
    def shares(seed, on_stream):
        chain = chains.Chain("norm", 27, 16, seed=seed)
        h = chain.stem(x)
        found = [h.square().mean()]
        for block in chain.blocks:
            after = block(h)
            f = (after - h).square().mean()
            found.append(f / (f + h.square().mean()))
            h = F.batch_norm(after, None, None, training=True) if on_stream else after
        return torch.stack(found)

    start, *usual = torch.stack([shares(s, False) for s in range(5)]).mean(0).tolist()
    assert all(1 / 1.5 < share * (start + k) < 1.5 for k, share in enumerate(usual, 1))
    assert min(torch.stack([shares(s, True) for s in range(5)]).mean(0).tolist()[2:]) > 0.3


@pytest.mark.slow
def test_short_paths_carry_the_gradient_with_batch_norm_only(both_homes):
    pictures = experiments.job("degradation", "quick", "residual-56").pictures.load()
    x = pictures.train_x.float() / 255
    x, y = (x - x.mean(0))[:32], pictures.train_y[:32]
    net = experiments.trained("degradation", "quick", "residual-56")

    def short(net):
        steps, behind = accounts.passed(net.train(), x, y)
        G = accounts.by_length(steps, behind).flatten(1)
        whole = G.sum(0)
        return (G @ whole / (whole @ whole))[:14].sum().item()

    assert short(net) > 0.99 and short(nets.build(net.spec)) > 0.95
    assert short(nets.build({**net.spec, "norm": False})) < 0.75
    assert short(accounts.scale_branches(net, 4)) > 0.99
