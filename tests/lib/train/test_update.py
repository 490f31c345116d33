"""Each way to carry out a step against the plain one: eager, float32, NCHW, unfused."""

from dataclasses import replace
from pathlib import Path
import copy
import math
import shutil
import statistics

import pytest
import torch

from conftest import toy_images
from resnet_lib import data, nets
from resnet_lib.machine import is_out_of_memory
from resnet_lib.recipe import Execution, Recipe, modern_gpu
from resnet_lib.train import Run
from resnet_lib.train.update import EAGER_FIRST, Graphs

PLAIN = Execution(device="cpu", threads=1, channels_last=False)
CUDA = Execution(device="cuda", channels_last=False)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
HAS_BF16 = torch.cuda.is_available() and modern_gpu()
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="no CUDA GPU with bf16 and TF32 here")
RECIPE = Recipe(steps=12, batch=32, drops=(5, 9), lr=0.05, eval_every=4)


def net(seed: int = 0):
    torch.manual_seed(seed)
    return nets.cifar_resnet(8, width=4)


def run(execution: Execution = PLAIN, **changes) -> Run:
    return Run(net(), toy_images(), replace(RECIPE, **changes), execution)


def moved(a: Run, b: Run) -> tuple[float, float]:
    """How far the weights of two runs are apart, and how far ``a`` went from its start, as Euclidean norms."""
    start = dict(run(a.execution if a.device.type == "cpu" else PLAIN, **a.recipe.to_json()).net.named_parameters())
    pairs = [(p.detach().cpu(), q.detach().cpu(), start[name].detach())
             for (name, p), q in zip(a.net.named_parameters(), b.net.parameters(), strict=True)]
    return (math.sqrt(sum((p - q).square().sum().item() for p, q, _ in pairs)),
            math.sqrt(sum((p - s).square().sum().item() for p, _, s in pairs)))


# How far a step may end from the plain one, relative to its length. Float32 agrees to 1e-6 until rounding decides on
# which side of zero the input of a ReLU falls; a few such switches make 1e-3. A rate wrong by a per cent makes 1e-2.
# bf16 and compiled at once: below, over whole runs.
WAYS = [
    pytest.param(PLAIN, {"channels_last": True}, 2e-3, id="channels_last"),
    pytest.param(PLAIN, {"fused": True}, 1e-6, id="fused"),
    pytest.param(PLAIN, {"precision": "bf16"}, 0.1, id="bf16"),
    pytest.param(PLAIN, {"compile": True}, 2e-3, id="compile", marks=pytest.mark.slow),
    pytest.param(CUDA, {"channels_last": True}, 2e-3, id="cuda-channels_last", marks=needs_cuda),
    pytest.param(CUDA, {"fused": True}, 1e-5, id="cuda-fused", marks=needs_cuda),
    pytest.param(CUDA, {"autotune": True}, 2e-3, id="cuda-autotune", marks=needs_cuda),
    pytest.param(CUDA, {"precision": "tf32"}, 0.02, id="cuda-tf32", marks=needs_bf16),
    pytest.param(CUDA, {"precision": "bf16"}, 0.1, id="cuda-bf16", marks=needs_bf16),
    pytest.param(CUDA, {"compile": True}, 2e-3, id="cuda-compile", marks=[needs_cuda, pytest.mark.slow]),
]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("plain, change, tolerance", WAYS)
def test_one_step_from_the_same_state(plain, change, tolerance, optimizer):
    changes = {"optimizer": optimizer} | ({"lr": 1e-3, "adam_eps": 1e-3} if optimizer == "adam" else {})
    usual, other = run(plain, **changes), run(replace(plain, **change), **changes)
    usual.step(), other.step()
    apart, went = moved(usual, other)
    assert 0 < went
    if change == {"precision": "tf32"}:
        assert apart > 1e-6 * went  # it did round: the switch belongs to the process, and each run sets its own
    # Adam divides each weight's gradient by its own size, so small ones, rounded most, count as much as large ones
    assert apart <= tolerance * went * (2 if optimizer == "adam" else 1)


def test_bf16_really_rounds_and_keeps_float32_weights():
    usual, other = run(), run(replace(PLAIN, precision="bf16"))
    usual.step(), other.step()
    apart, went = moved(usual, other)
    assert apart > 1e-4 * went
    assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in other.net.parameters())
    assert all(v["momentum_buffer"].dtype == torch.float32 for v in other.optimizer.state.values())


def test_evaluation_of_a_bf16_run_is_float32():
    usual, other = run(), run(replace(PLAIN, precision="bf16"))
    pictures = usual.batches.test_x, usual.batches.test_y
    assert usual.evaluate(*pictures) == other.evaluate(*pictures)


@pytest.mark.parametrize("settings, part", [
    ({"precision": "fp16"}, "float32, tf32, bf16"), ({"device": "tpu"}, "auto, cpu, cuda"),
    ({"interleave": 0}, "at least 1"), ({"workers": -1}, "at least 0"),
    ({"device": "cpu", "graphs": True}, "graphs needs a CUDA GPU"),
    ({"device": "cpu", "autotune": True}, "autotune needs a CUDA GPU"),
    ({"device": "cpu", "precision": "tf32"}, "tf32 needs a CUDA GPU")])
def test_an_execution_that_is_not_possible_is_refused(settings, part):
    with pytest.raises(ValueError, match=part):
        Execution(**settings).resolve()


def test_bf16_is_refused_on_a_gpu_that_emulates_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(ValueError, match="Tesla T4 would emulate it"):
        Execution(device="cuda", precision="bf16").resolve()
    assert Execution.fastest("cuda").precision == "float32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert Execution.fastest("cuda").precision == "bf16"
    Execution.fastest("cuda").resolve()


@pytest.mark.parametrize("flags, native", [
    ("flags\t\t: fpu avx2 avx512f avx512_bf16", True), ("flags\t\t: fpu amx_bf16 amx_tile", True),
    ("Features\t: fp asimd bf16 i8mm", True), ("flags\t\t: fpu avx2 avx512f", False),
    ("model name\t: bf16 and amx_bf16", False), ("", False)])
def test_the_fastest_way_takes_bf16_only_where_the_processor_has_it(monkeypatch, flags, native):
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor\t: 0\n{flags}\n")
    for compiler in ("/usr/bin/g++", None):
        monkeypatch.setattr(shutil, "which", lambda name, found=compiler: found)
        way = Execution.fastest("cpu")
        assert (way.precision, way.compile) == ("bf16" if native else "float32", compiler is not None)
    assert (way.threads, way.workers, way.resolve().type) == (1, 0, "cpu")


# --- graphs ---------------------------------------------------------------------------------------


def stand_in(update):
    """A capture that behaves as CUDA's does, without a GPU: the rate of the moment is part of it, nothing is done
    yet, and a replay reads the tensors that were there when it was captured."""
    def capture(work):
        rates = [group["lr"] for group in update.optimizer.param_groups]

        def replay():
            now = [group["lr"] for group in update.optimizer.param_groups]
            for group, rate in zip(update.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            work()
            for group, rate in zip(update.optimizer.param_groups, now, strict=True):
                group["lr"] = rate
            captured.append(rates[0])
        return replay
    captured: list[float] = []
    return capture, captured


@pytest.mark.slow
def test_replays_do_the_steps_of_the_eager_run():
    """Two drops of the rate, a smaller last batch, crops and flips: the rows are the eager ones, bit for bit."""
    recipe = {"steps": 60, "drops": (25, 45)}
    eager, graphed = run(**recipe), run(**recipe)
    capture, captured = stand_in(graphed._update)
    graphed._update = Graphs(graphed._update, capture)
    assert list(eager) == list(graphed)
    assert all(torch.equal(p, q) for p, q in zip(eager.net.parameters(), graphed.net.parameters(), strict=True))
    # all but the first few of each rate and batch size (five batches an epoch, the last one smaller)
    assert [captured.count(eager.recipe.lr_at(step)) for step in (0, 25, 45)] == [
        steps - 2 * EAGER_FIRST for steps in (25, 20, 15)]


@pytest.mark.slow
def test_a_graph_of_an_earlier_rate_is_let_go():
    graphed = run(steps=60, drops=(30,))
    capture, _ = stand_in(graphed._update)
    graphed._update = Graphs(graphed._update, capture)
    list(graphed)
    assert {lr for _, lr in graphed._update.replays} == {RECIPE.lr * RECIPE.drop_factor}


@needs_cuda
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_cuda_graphs_do_the_steps_of_the_eager_run(optimizer):
    changes = {"optimizer": optimizer, "steps": 20} | ({"lr": 1e-3, "adam_eps": 1e-3} if optimizer == "adam" else {})
    eager, graphed = run(CUDA, **changes), run(replace(CUDA, graphs=True), **changes)
    list(eager), list(graphed)
    assert graphed._update.replays
    apart, went = moved(eager, graphed)
    assert apart <= 0.02 * went


# --- outcome: paired short runs --------------------------------------------------------------------


def outcome(seed: int, execution: Execution, lr: float = 0.05) -> float:
    """Mean training loss of a short run on the digits."""
    images = data.load("digits").subset(640, 100)
    recipe = Recipe(steps=60, batch=64, lr=lr, drops=(), augment="none", seed=seed, eval_every=60)
    return list(Run(nets.cifar_resnet(8, width=8, in_channels=1), images, recipe, execution))[-1]["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("plain, change", [
    pytest.param(PLAIN, {"precision": "bf16", "compile": True}, id="bf16-compile"),  # eager bf16 rounds more often
    pytest.param(CUDA, {"precision": "bf16"}, id="cuda-bf16", marks=needs_bf16),
    pytest.param(CUDA, {"graphs": True}, id="cuda-graphs", marks=needs_cuda)])
def test_paired_runs_come_out_alike(plain, change):
    """Twelve seeds, each both ways: the 95 % interval of the mean difference lies within 1 % of the mean loss.

    A rate of 0.045 instead of 0.05 does not pass: the test could have come out the other way."""
    seeds = range(12)
    usual = [outcome(seed, plain) for seed in seeds]
    bound = 0.01 * statistics.mean(usual)
    mean, half = interval([outcome(seed, replace(plain, **change)) - a for seed, a in zip(seeds, usual, strict=True)])
    assert abs(mean) + half < bound
    mean, half = interval([outcome(seed, plain, lr=0.045) - a for seed, a in zip(seeds, usual, strict=True)])
    assert abs(mean) - half > bound


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t with 11 degrees of freedom."""
    return statistics.mean(values), 2.201 * statistics.stdev(values) / math.sqrt(len(values))


def test_each_run_of_a_process_has_its_own_number_of_threads():
    one, two, seen, before = run(PLAIN), run(replace(PLAIN, threads=2)), [], torch.get_num_threads()
    for which in (one, two):
        which.net.fc.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    for which in (one, two, one):
        which.step()
    assert seen == [1, 2, 1] and torch.get_num_threads() == before


# --- moving between ways ---------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_goes_on_in_another_way(optimizer):
    """Fused here, foreach there: the state moves, how the update is carried out stays the machine's own."""
    changes = {"optimizer": optimizer, "lr": 1e-3}
    first = run(replace(PLAIN, fused=True), **changes)
    for _ in range(4):
        first.advance()
    state = copy.deepcopy(first.state_dict())
    for group in state["optimizer"]["param_groups"]:
        group |= {"fused": True, "capturable": True} if "capturable" in group else {"fused": True}
    second = run(**changes)
    second.load_state_dict(state)
    assert all(not g["fused"] and not g.get("capturable") for g in second.optimizer.param_groups)
    list(first), list(second)
    assert [r["step"] for r in second.rows] == [4, 8, 12]
    assert second.rows[0] == first.rows[0]
    assert second.rows[-1]["train_loss"] == pytest.approx(first.rows[-1]["train_loss"], rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_goes_on_in_another_memory_layout(optimizer):
    """A fused kernel walks weight and momentum side by side: in two layouts it would mix up their elements."""
    changes = {"optimizer": optimizer, "lr": 1e-3, "steps": 6}
    first = run(PLAIN, **changes)
    for _ in range(4):
        first.advance()
    second = run(replace(PLAIN, channels_last=True, fused=True), **changes)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for weight, kept in second.optimizer.state.items():
        assert all(t.stride() == weight.stride() for t in kept.values() if t.shape == weight.shape)
    list(first), list(second)
    apart, went = moved(first, second)
    assert apart < 2e-3 * went


def test_steps_of_less_than_a_millisecond_are_counted(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("resnet_lib.train.loop.perf_counter", lambda: next(clock) * 0.0004)
    short = run(steps=50, eval_every=50)
    list(short)
    assert short.segments[0]["seconds"] == pytest.approx(0.02, abs=0.001)


def test_out_of_memory_is_known_behind_the_error_of_a_capture():
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")
    except RuntimeError as error:
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("operation failed due to a previous error during capture"))
