"""The loop against a naive one written with torch alone, the schedule, determinism, resuming."""

from dataclasses import replace
import copy

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from conftest import mostly_slow, toy_images

ONE = Execution(device="cpu", threads=1)
SHORT = Recipe(steps=9, batch=64, lr=0.05, drops=(4, 7), eval_every=3, seed=5)


def small():
    return nets.cifar_resnet(8, width=4)


def naive_history(images, recipe, net):
    """One picture at a time, plain Python where Python will do; only the random draws are the library's."""
    from resnet_lib import data

    g = torch.Generator().manual_seed(recipe.seed)
    nets.init_weights(net, recipe.init, g)
    n = len(images.train_y)
    mean = torch.zeros(images.train_x.shape[1:], dtype=torch.float64)
    for picture in images.train_x:
        mean += picture.double() / 255 / n
    mean = mean.float()
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    errors, wrong, seen, step = [], 0, 0, 0
    while step < recipe.steps:
        order = torch.randperm(n, generator=g)
        dy, dx, flip = data.draw_crops(n, 4, g)
        for start in range(0, n, recipe.batch):
            pictures = []
            for k, i in enumerate(order[start:start + recipe.batch].tolist(), start=start):
                canvas = torch.zeros(images.train_x.shape[1], 16, 16)
                canvas[:, 4:12, 4:12] = images.train_x[i].float() / 255 - mean  # padded after the subtraction
                cut = canvas[:, dy[k]:dy[k] + 8, dx[k]:dx[k] + 8]
                pictures.append(cut.flip(-1) if flip[k] else cut)
            x, y = torch.stack(pictures), images.train_y[order[start:start + recipe.batch]]
            logits = net(x)
            grads = torch.autograd.grad(F.cross_entropy(logits, y), list(net.parameters()))
            lr = recipe.lr * 0.1 ** sum(step >= d for d in recipe.drops)
            with torch.no_grad():
                for p, v, grad in zip(net.parameters(), velocity, grads, strict=True):
                    v.mul_(recipe.momentum).add_(grad + recipe.weight_decay * p)
                    p -= lr * v
            wrong, seen, step = wrong + (logits.argmax(1) != y).sum().item(), seen + len(y), step + 1
            if step % recipe.eval_every == 0:
                errors.append(wrong / seen)
                wrong = seen = 0
            if step == recipe.steps:
                return errors, net


def test_loop_equals_a_naive_one():
    images = toy_images()
    expected, net = naive_history(images, SHORT, small())
    run = Run(small(), images, SHORT, Execution(device="cpu", channels_last=False, threads=1))
    assert [row["train_error"] for row in run] == expected
    for p, q in zip(run.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    net.eval()
    mean = (images.train_x.double().mean(0) / 255).float()
    with torch.no_grad():
        wrong = (net(images.test_x.float() / 255 - mean).argmax(1) != images.test_y).float().mean().item()
    assert run.rows[-1]["test_error"] == pytest.approx(wrong, abs=1e-6)


def test_learning_rate_of_the_paper():
    paper = Recipe()
    rates = {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    for step, lr in rates.items():
        assert paper.lr_at(step) == pytest.approx(lr)
    warm = replace(paper, warmup_steps=400)
    assert [warm.lr_at(s) for s in (0, 399, 400)] == pytest.approx([0.01, 0.01, 0.1])


@pytest.mark.parametrize("warmup", [0, 1, 30])
def test_linear_rate_is_that_of_torchs_schedulers(warmup):
    recipe = Recipe(steps=200, schedule="linear", drops=(), warmup_steps=warmup, lr=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    down = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=recipe.steps - warmup)
    if warmup > 1:
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["initial_lr"]
        up = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, 1, total_iters=warmup - 1)
        down = torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], [warmup])
    for step in range(warmup == 1, recipe.steps):  # one step of warm-up is at lr: nothing rises
        assert recipe.lr_at(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        down.step()


def test_an_epoch_of_the_paper_is_390_full_batches_and_one_of_80():
    run = Run(nets.cifar_resnet(8, width=1), toy_images(50_000, size=1), Recipe(batch=128), ONE)
    assert run.batches.per_epoch == 391
    run._draw_epoch()
    sizes, seen = [], []
    for run.at in range(391):
        plan = run.batches.stretch(run.at)
        sizes.append(len(run.batches(plan)[1]))
        seen.append(plan[0])
    assert sizes == [128] * 390 + [80]
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(50_000))


def test_the_optimizer_gets_the_rate_of_each_step():
    run, seen = Run(small(), toy_images(), replace(SHORT, warmup_steps=2), ONE), []
    for _ in range(SHORT.steps):
        run.advance()
        seen.append(run.optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.01, 0.01, 0.05, 0.05, 0.005, 0.005, 0.005, 0.0005, 0.0005])


def test_same_seed_same_rows_other_seed_other_rows():
    rows = [list(Run(small(), toy_images(), replace(SHORT, seed=s), ONE)) for s in (5, 5, 6)]
    assert rows[0] == rows[1] != rows[2]


def test_a_mirrored_test_averages_the_probabilities_of_both_pictures():
    images = toy_images(200)
    run = Run(small(), images, replace(SHORT, mirrored=True), ONE)
    row = list(run)[-1]
    run.net.eval()
    wrong, loss = 0, 0.0
    for x, y in zip(images.test_x, images.test_y, strict=True):
        x = x.float()[None] / 255 - images.train_x.double().mean(0).float() / 255
        with torch.no_grad():
            p = (run.net(x).double().softmax(1) + run.net(x.flip(-1)).double().softmax(1))[0] / 2
        wrong += int(p.argmax()) != int(y)
        loss -= float(p[y].log())
    assert row["test_error_mirrored"] == wrong / len(images.test_y) != row["test_error"]
    assert row["test_loss_mirrored"] == pytest.approx(loss / len(images.test_y), rel=1e-5)


def test_a_mirrored_test_leaves_the_rest_as_it_is():
    plain, mirrored = (list(Run(small(), toy_images(), replace(SHORT, mirrored=m), ONE)) for m in (False, True))
    new = {"test_error_mirrored", "test_loss_mirrored"}
    assert [{k: v for k, v in row.items() if k not in new} for row in mirrored] == plain
    assert all(new <= row.keys() for row in mirrored)


def test_flipping_alone_gives_each_picture_or_its_mirror_image_and_both_about_equally_often():
    images = toy_images(400)
    run = Run(small(), images, replace(SHORT, augment="flip", normalize="unit", batch=400), ONE)
    run._draw_epoch()
    x, y = run.batches(run.batches.stretch(run.at))
    whole = images.train_x[run.batches.plan[0]].float() / 255
    mirrored = sum(torch.equal(a, b.flip(-1)) for a, b in zip(x, whole, strict=True))
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(x, whole, strict=True))
    assert 160 < mirrored < 240, "400 fair coins, four standard deviations"
    assert torch.equal(y, images.train_y[run.batches.plan[0]])


@pytest.mark.parametrize("changes", [
    {}, {"optimizer": "adam", "lr": 1e-3}, {"augment": "none", "shuffle": False}, {"augment": "flip"},
    {"schedule": "linear", "drops": (), "warmup_steps": 3}, {"optimizer": "muon"},
    {"validation": 0.2}, {"decay_all": False}, {"probe_steps": (0, 1, 5, 9)},
])
@pytest.mark.parametrize("stop", mostly_slow([1, 3, 4, 8], 4))  # 4: in the middle of an epoch and of a row
def test_resumed_run_equals_uninterrupted_one(tmp_path, changes, stop):
    recipe = replace(SHORT, **changes)
    whole = Run(small(), toy_images(), recipe, ONE)
    list(whole)
    first = Run(small(), toy_images(), recipe, ONE)
    for _ in range(stop):
        first.advance()
    first.save(tmp_path / "run.ckpt")
    second = Run(small(), toy_images(), recipe, ONE)
    second.load(tmp_path / "run.ckpt")
    list(second)
    assert second.rows == whole.rows and second.probes == whole.probes
    for p, q in zip(whole.net.state_dict().values(), second.net.state_dict().values(), strict=True):
        assert torch.equal(p, q)
    assert [s["from_step"] for s in second.segments] == [0, stop]


def test_probes_do_not_change_a_run():
    rows = [list(Run(small(), toy_images(), replace(SHORT, probe_steps=p), ONE)) for p in ((), (0, 1, 2, 9))]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_64_pictures_can_be_learned_by_heart():
    images = toy_images(64)
    recipe = Recipe(steps=150, batch=64, lr=0.02, drops=(), augment="none", eval_every=150)
    run = Run(nets.cifar_resnet(8, width=16), images, recipe, ONE)
    list(run)
    assert run.rows[-1]["train_error_eval"] == 0


def test_channels_last_agrees_with_contiguous_for_one_step():
    states = []
    for channels_last in (True, False):
        run = Run(small(), toy_images(), SHORT, Execution(device="cpu", channels_last=channels_last, threads=1))
        run.step()
        states.append(run.net.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value.contiguous(), states[1][name], rtol=1e-4, atol=1e-6)


def test_evaluation_leaves_the_net_in_training_mode_and_unchanged():
    run = Run(small(), toy_images(), SHORT, ONE)
    run.step()
    before = copy.deepcopy(run.net.state_dict())
    run.evaluate(run.batches.test_x, run.batches.test_y)
    assert run.net.training
    assert all(torch.equal(v, before[k]) for k, v in run.net.state_dict().items())


def test_validation_is_the_end_of_the_training_set_and_is_not_trained_on():
    images = toy_images(100)
    changed = replace(images, train_x=torch.cat([images.train_x[:80], 255 - images.train_x[80:]]))
    recipe = replace(SHORT, validation=0.2, batch=32)
    runs = [Run(small(), i, recipe, ONE) for i in (images, changed)]
    rows = [list(run) for run in runs]
    assert runs[0].batches.n == 80
    for name in ("train_error", "train_loss", "test_error"):
        assert [r[name] for r in rows[0]] == [r[name] for r in rows[1]]
    assert [r["validation_loss"] for r in rows[0]] != [r["validation_loss"] for r in rows[1]]


def test_decay_exempts_biases_and_batch_norm_only_if_told():
    groups = Run(small(), toy_images(), replace(SHORT, decay_all=False), ONE).optimizer.param_groups
    assert [g["weight_decay"] for g in groups] == [1e-4, 0]
    assert all(p.ndim > 1 for p in groups[0]["params"]) and all(p.ndim == 1 for p in groups[1]["params"])
    assert len(Run(small(), toy_images(), SHORT, ONE).optimizer.param_groups) == 1


@pytest.mark.parametrize("changes, word", [
    ({"optimizer": "sdg"}, "sgd, adam"), ({"augment": "crop"}, "none, flip, crop_flip"),
    ({"schedule": "cosine"}, "steps, linear"), ({"schedule": "linear"}, "set drops=()"),
    ({"schedule": "linear", "drops": (), "steps": 5, "warmup_steps": 5}, "got 5 of 5"),
    ({"normalize": "zscore"}, "pixel_mean"),
    ({"steps": 0}, "at least 1"), ({"lr": float("nan")}, "positive"), ({"validation": 1.0}, "[0, 1)"),
    ({"batch": 1.5}, "whole number"), ({"seed": -1}, "at least 0"), ({"warmup_lr": 0}, "positive"),
    ({"momentum": float("nan")}, "[0, 1)"), ({"weight_decay": -1}, "0 or more"),
    ({"init": "zzz"}, "xavier_weights, torch, keep"),
])
def test_bad_recipes(changes, word):
    with pytest.raises(ValueError) as caught:
        Recipe(**changes)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_checkpoint_of_another_recipe_is_refused_and_says_what_differs(tmp_path):
    run = Run(small(), toy_images(), SHORT, ONE)
    run.step()
    run.save(tmp_path / "run.ckpt")
    other = Run(small(), toy_images(), replace(SHORT, lr=0.1), ONE)
    before = copy.deepcopy(other.net.state_dict())
    with pytest.raises(ValueError, match="lr 0.05 there, 0.1 here"):
        other.load(tmp_path / "run.ckpt")
    assert other.at == 0 and all(torch.equal(v, before[k]) for k, v in other.net.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "run.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        Run(small(), toy_images(), SHORT, ONE).load(path)


def test_a_checkpoint_with_code_in_it_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"recipe_id": Trap()}, tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        Run(small(), toy_images(), SHORT, ONE).load(tmp_path / "run.ckpt")
    assert not (tmp_path / "trapped").exists()


def test_evaluation_sees_every_picture(monkeypatch):
    run = Run(small(), toy_images(), SHORT, ONE)
    run.step()
    whole = run.evaluate(run.batches.test_x, run.batches.test_y)
    monkeypatch.setattr("resnet_lib.train.loop.EVAL_BATCH", 32)  # 50 pictures: one full batch and one of 18
    assert run.evaluate(run.batches.test_x, run.batches.test_y) == pytest.approx(whole, abs=1e-6)


def test_training_error_in_evaluation_mode_leaves_out_the_validation_pictures():
    images, recipe = toy_images(100), replace(SHORT, validation=0.2, steps=1)
    run = Run(small(), images, recipe, ONE)
    row, = run
    x, y = run.batches.train_x, run.batches.train_y
    assert (row["train_error_eval"], row["train_loss_eval"]) == run.evaluate(x[:80], y[:80])
    assert (row["validation_error"], row["validation_loss"]) == run.evaluate(x[80:], y[80:])


def test_nets_of_ones_own_have_ids_by_their_code_and_kept_weights():
    class Straight(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.fc = torch.nn.Flatten(), torch.nn.Linear(192, 10)

        def forward(self, x):
            return self.fc(self.flat(x))

    class Doubled(Straight):
        def forward(self, x):
            return 2 * self.fc(self.flat(x))

    def identity(net, init):
        return Run(net, toy_images(), replace(SHORT, init=init), ONE).recipe_id

    Doubled.__name__ = "Straight"  # the same name and the same printed layers
    assert identity(Straight(), "he") == identity(Straight(), "he") != identity(Doubled(), "he")
    net = Straight()
    assert identity(net, "keep") == identity(net, "keep") != identity(Straight(), "keep")


def test_a_saved_state_does_not_change_with_the_run():
    run = Run(small(), toy_images(), SHORT, ONE)
    state = run.state_dict()
    list(run)
    assert state["rows"] == [] and state["segments"] == [] and state["at"] == 0


@pytest.mark.parametrize("content", [torch.zeros(3), {"recipe_id": "x"}, [1, 2]])
def test_a_file_of_something_else_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="not a checkpoint of a run: it lacks"):
        Run(small(), toy_images(), SHORT, ONE).load(tmp_path / "run.ckpt")


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(ValueError, match="there is no checkpoint"):
        Run(small(), toy_images(), SHORT, ONE).load(tmp_path / "run.ckpt")


def test_cuda_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="use device 'cpu' or 'auto'"):
        Run(small(), toy_images(), SHORT, Execution(device="cuda"))
    with pytest.raises(ValueError, match="auto, cpu, cuda"):
        Execution(device="gpu").resolve()


def test_fixed_norms_are_a_free_step_scaled_back_and_survive_a_checkpoint(tmp_path):
    """The control of the exercise on inflated weights, against the step without it."""
    def run(**changes):
        recipe = Recipe(steps=6, batch=32, lr=0.05, drops=(), weight_decay=0.0, eval_every=2, **changes)
        return Run(nets.cifar_resnet(8, width=4), toy_images(), recipe, Execution(device="cpu", threads=1))

    def kernels(r):
        return [m.weight.detach().clone() for m in r.net.modules() if isinstance(m, torch.nn.Conv2d)]

    free, fixed = run(), run(fixed_norm=True)
    before = kernels(free)
    free.step()
    fixed.step()
    for start, loose, held in zip(before, kernels(free), kernels(fixed), strict=True):
        assert not torch.allclose(loose.norm(), start.norm(), rtol=1e-5)
        assert torch.allclose(held, loose * (start.norm() / loose.norm()), rtol=1e-5, atol=1e-7)
    list(fixed)
    for start, held in zip(before, kernels(fixed), strict=True):
        assert torch.allclose(held.norm(), start.norm(), rtol=1e-5)
    stopped, resumed = run(fixed_norm=True), run(fixed_norm=True)
    for _ in range(3):
        stopped.advance()
    stopped.save(tmp_path / "half.ckpt")
    resumed.load(tmp_path / "half.ckpt")
    assert list(resumed) and resumed.rows == fixed.rows
