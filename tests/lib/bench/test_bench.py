"""The benchmark: what it times is the net's convolutions, its peers do the same mathematics, its record is checked."""

from dataclasses import replace
import argparse
import copy
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from resnet_lib import bench, nets, plots, timing
from resnet_lib.bench import baselines, cases, charts
from resnet_lib.bench.cases import CASES
from resnet_lib.bench.command import SCHEMA_FILE
from resnet_lib.bench.process import Child, Failure, reason
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from conftest import ROOT, toy_images

HAS_D2L = importlib.util.find_spec("d2l") is not None
STEP = Recipe(steps=9, batch=32, lr=0.05, drops=(), augment="none", normalize="symmetric", shuffle=False, seed=3)
PLAIN = Execution(device="cpu", channels_last=False)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def small():
    return nets.cifar_resnet(8, width=4)


# --- the finish line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("net, shape", [
    (nets.cifar_resnet(20), (3, 32, 32)), (nets.cifar_resnet(8, shortcut="B", block="pre"), (3, 12, 12)),
    (nets.d2l_resnet18(), (1, 96, 96)), (nets.mnist_simple(), (1, 28, 28))])
def test_the_convolutions_are_those_that_torch_counts(net, shape):
    """Forward and backward, against torch's own counter."""
    convs = timing.convolutions(net, shape)
    assert len(convs) == sum(isinstance(m, torch.nn.Conv2d) for m in net.modules())
    shadow = copy.deepcopy(net).to("meta")
    with FlopCounterMode(display=False) as counter:
        shadow(torch.empty(5, *shape, device="meta")).sum().backward()
    counted = {str(op): n for op, n in counter.get_flop_counts()["Global"].items() if "convolution" in str(op)}
    assert len(counted) == 2 and sum(conv.flops(5) for conv in convs) == sum(counted.values())
    assert [conv.needs_input_grad for conv in convs] == [False] + [True] * (len(convs) - 1)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_roofline_times_each_kind_of_convolution_in_its_better_layout(monkeypatch, precision):
    """With a clock that is known: the sum counts equal convolutions as often as they occur."""
    cost, seen = {"channels_last": 2.0, "contiguous": 3.0}, []

    def fake(self, conv, layout):
        seen.append(conv)
        return cost["channels_last" if layout is torch.channels_last else "contiguous"] - (conv.input[0] == 3) * 1.5 * (
            layout is torch.contiguous_format)

    monkeypatch.setattr(timing.Roofline, "_time", fake)
    line = timing.roofline(nets.cifar_resnet(20), 16, (3, 32, 32), precision)
    assert line.seconds == 18 * 2.0 + 1.5 and line.layout == "channels_last 18, contiguous 1"
    assert len(seen) == 2 * 6  # stem; 16→16, 16→32 and 32→32, 32→64 and 64→64
    assert line.measure() == line.seconds and len(seen) == 2 * 6 + 6  # the layouts are known by now
    with pytest.raises(ValueError, match="float32, tf32, bf16"):
        timing.roofline(small(), 2, (3, 8, 8), "fp8")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_roofline_runs_forward_and_both_gradients(precision):
    """What is timed is what autograd calls: the same operators with the same shapes, none for the pictures."""
    net, counted = small(), []
    convs = timing.convolutions(net, (3, 8, 8))
    line = timing.Roofline(list(dict.fromkeys(convs)), 4, precision, torch.device("cpu"), repeats=1)
    for work in (lambda: F.cross_entropy(net(torch.randn(4, 3, 8, 8)), torch.zeros(4, dtype=torch.long)).backward(),
                 line.measure):
        with FlopCounterMode(display=False) as counter:
            work()
        counts = counter.get_flop_counts()["Global"]
        counted.append(sum(n for op, n in counts.items() if "convolution" in str(op)))
    # a warm-up and a repeat, in two layouts
    assert counted == [sum(conv.flops(4) for conv in convs), 4 * line.flops] and line.flops_per_second > 0


# --- rounds and ratios ---------------------------------------------------------------------------------


def test_rounds_are_interleaved_and_ratios_are_taken_by_round():
    calls, speed = [], {"a": iter([1.0, 10.0, 100.0]), "b": iter([2.0, 30.0, 400.0])}

    def stretch(name):
        calls.append(name)
        return next(speed[name])

    t = timing.interleave({n: lambda n=n: stretch(n) for n in speed}, 3)
    assert calls == ["a", "b"] * 3
    assert (t["a"].median, t["a"].low, t["a"].high, t["a"].n) == (10.0, 1.0, 100.0, 3)
    r = timing.ratio(t["a"], t["b"])  # by round 2, 3 and 4: not the quotient of any two numbers of the whole
    assert (r.median, r.low, r.high) == (3.0, 2.0, 4.0)
    with pytest.raises(ValueError, match="3 and 1"):
        timing.ratio(t["a"], timing.Timing((1.0,)))


def test_compare_counts_warmup_and_rounds():
    calls = []
    found = timing.compare({n: lambda n=n: calls.append(n) for n in "ab"}, steps=2, warmup=1, rounds=3)
    assert "".join(calls) == "ab" + "aabb" * 3
    assert {n: t.n for n, t in found.items()} == {"a": 3, "b": 3} and all(t.low > 0 for t in found.values())


# --- the peers -------------------------------------------------------------------------------------------


def by_hand(net, images, steps):
    """Batches in the files' order, in [-1, 1], torch.optim.SGD."""
    nets.init_weights(net, "he", torch.Generator().manual_seed(STEP.seed))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    for k in range(steps):
        here = slice(32 * k, 32 * k + 32)
        x = images.train_x[here].float() / 127.5 - 1
        optimizer.zero_grad()
        F.cross_entropy(net(x), images.train_y[here]).backward()
        optimizer.step()
    return net


@pytest.mark.parametrize("channels", [1, 3])
def test_the_plain_loop_and_ours_do_the_same_update(channels):
    images = toy_images(channels=channels)
    want = by_hand(nets.cifar_resnet(8, width=4, in_channels=channels), images, 3)
    loop = bench.Loop(nets.cifar_resnet(8, width=4, in_channels=channels), images, STEP,
                      PLAIN)
    run = Run(nets.cifar_resnet(8, width=4, in_channels=channels), images, STEP,
              Execution(device="cpu", channels_last=False))
    loop.run(3)
    for _ in range(3):
        run.advance()
    for name, value in want.state_dict().items():
        torch.testing.assert_close(loop.net.state_dict()[name], value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(run.net.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert loop.at == 3 and loop.loss == pytest.approx(loop.loss)


def test_the_plain_loop_augments_each_picture_and_goes_on_after_an_epoch():
    images = toy_images(n=64, size=32)
    loop = bench.Loop(small(), images, replace(STEP, augment="crop_flip", normalize="pixel_mean"), PLAIN)
    one, other = (torch.stack([loop.dataset[k][0] for k in range(64)]) for _ in range(2))
    assert one.shape == (64, 3, 32, 32) and one.std() == pytest.approx(1, abs=0.2)
    assert sum(not torch.equal(a, b) for a, b in zip(one, other, strict=True)) > 55  # drawn anew, one by one
    loop.run(5)  # an epoch is two batches
    assert loop.at == 5
    with pytest.raises(ValueError, match="sgd"):
        bench.Loop(small(), images, replace(STEP, optimizer="adam"))


def test_the_fastest_number_of_workers_is_kept(monkeypatch):
    class Peer:
        device, workers, log = "cpu", None, []

        def use_workers(self, n):
            self.workers = n
            self.log.append(n)

        def step(self):
            pass

        def run(self, steps):
            pass

    seconds = {None: 0.1, 0: 0.5, 1: 0.2, 2: 0.3}
    monkeypatch.setattr(baselines, "stretch", lambda step, steps, device: seconds[step.__self__.workers])
    peer = Peer()
    assert baselines.choose_workers(peer, (0, 1, 2)) == 1 and peer.log == [0, 1, 2, 1]
    seconds[1] = baselines.SLOW_STEP + 1  # the step hides the loader: no search
    assert baselines.choose_workers(peer, (0, 1, 2)) == 2 and peer.log[4:] == [2]


@pytest.mark.skipif(not HAS_D2L, reason="d2l is not installed")
@pytest.mark.slow
def test_d2l_is_trained_by_its_own_trainer(monkeypatch):
    from d2l import torch as d2l

    images, called = toy_images(n=64, size=28, channels=1), []
    fit_epoch = d2l.Trainer.fit_epoch
    monkeypatch.setattr(d2l.Trainer, "fit_epoch", lambda self: called.append(self) or fit_epoch(self))
    peer = baselines.D2L(images, replace(STEP, batch=16, momentum=0.0, weight_decay=0.0), 32, torch.device("cpu"))
    net = peer.trainer.model.net
    assert isinstance(peer.trainer, d2l.Trainer) and isinstance(peer.trainer.model, d2l.Classifier)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in nets.d2l_resnet18().parameters())
    assert {tuple(p.shape) for p in net.parameters()} == {tuple(p.shape) for p in nets.d2l_resnet18().parameters()}
    assert tuple(peer.trainer.train_dataloader.dataset[0][0].shape) == (1, 32, 32)  # resized while loading
    before = net[0].weight.detach().clone()
    peer.run(3)
    peer.step()
    assert called == [peer.trainer] * 2 and peer.trainer.train_batch_idx == 4
    assert not torch.equal(net[0].weight, before)


# --- cases and contenders --------------------------------------------------------------------------------


def test_the_cases_are_the_declared_runs(home):
    assert {n: (c.net["depth"], c.recipe.batch) for n, c in CASES.items() if "depth" in c.net} == {
        "resnet-20": (20, 128), "resnet-56": (56, 128), "plain-56-quick": (56, 64)}
    fashion, quick = CASES["resnet-18-fashion"], CASES["plain-56-quick"]
    assert (fashion.recipe.lr, fashion.recipe.momentum, fashion.recipe.batch) == (0.05, 0.0, 256)
    assert not quick.net["residual"] and quick.net["width"] == 8 and quick.threads == 1
    images, name = cases.pictures(quick)  # no data here
    assert name == cases.RANDOM and images.train_x.shape == (23 * 64, 3, 32, 32)  # whole batches of 1,500
    # ten contenders with 60,000 pictures of 96x96 each do not fit a GPU of 15 GB
    assert len(cases.pictures(fashion)[0].train_y) == 50 * 256 and len(fashion.contenders("cuda")) == 4


def test_each_rung_changes_one_thing():
    rungs = [cases.execution_of(key, "cpu", 1) for key in cases.LADDER["cpu"]]
    for before, after in zip(rungs, rungs[1:], strict=False):
        assert sum(getattr(before, f) != getattr(after, f) for f in before.__dataclass_fields__) == 1
    assert rungs[0] == Execution("cpu", channels_last=False, threads=1) and rungs[-1].precision == "bf16"
    strong = cases.execution_of("strong", "cpu")
    assert strong.channels_last and strong.compile and strong.precision == "float32"
    with pytest.raises(ValueError, match="loop, strong, d2l, resident"):
        cases.execution_of("fastest", "cpu")


@pytest.mark.parametrize("capability, precision", [((7, 5), "float32"), ((9, 0), "bf16")])
def test_the_graphs_are_the_fastest_way_of_each_gpu(monkeypatch, capability, precision):
    """An older card has neither bf16 nor TF32, and is not asked for them."""
    for name, value in {"is_available": True, "get_device_capability": capability, "get_device_name": "a GPU"}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    graphs = cases.execution_of("graphs", "cuda")
    assert graphs == replace(Execution.fastest("cuda"), interleave=1) and graphs.precision == precision
    asked = CASES["resnet-20"].contenders("cuda")
    assert ("bf16" in asked) == (precision == "bf16")
    for key in asked:
        if key != "d2l":
            cases.execution_of(key, "cuda").resolve()


@pytest.mark.parametrize("error, text", [
    (ModuleNotFoundError("No module named 'd2l'", name="d2l"), "d2l is not installed"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "out of memory"),
    (ValueError("graphs needs a CUDA GPU; leave it out"), "graphs needs a CUDA GPU; leave it out"),
    (RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found\n\nmore"),
     "RuntimeError: InvalidCxxCompiler: No working C++ compiler found"),
    (KeyError(), "KeyError")])
def test_reasons_are_one_line(error, text):
    assert reason(error) == text


class FakeChild:
    """As process.Child, with made-up times; "fused" cannot be set up, "compile" dies in the second round."""

    ended: list = []

    def __init__(self, case, key, device, threads, warmup):
        self.key, self.rounds = key, iter(range(1, 100))

    def answer(self):
        if self.key == "fused":
            raise Failure("out of memory")
        if self.key.startswith("roofline"):
            return {"layout": "channels_last 19", "flops": 31_029_460_992}
        return {"data": "CIFAR-10", "pictures": 49_920, "precision": "bf16" if self.key == "bf16" else "float32",
                "begin": 9.0, "settings": {}}

    def ask(self, steps):
        if not steps:
            return {"host": 10**9, "device": None}
        k = next(self.rounds)
        if self.key == "compile" and k == 2:
            raise Failure("its process was killed")
        return {"loop": 0.5, "resident": 0.4, "channels_last": 0.25, "bf16": 0.2}.get(self.key, 0.1) * k

    def end(self):
        self.ended.append(self.key)


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setattr("resnet_lib.bench.command.Child", FakeChild)
    FakeChild.ended = []
    keys = ["loop", "resident", "channels_last", "fused", "compile", "bf16"]
    return bench.measure("resnet-20", CASES["resnet-20"], keys, "cpu", 2, 4, 2, 3)


def test_a_contender_that_fails_is_recorded_and_the_others_go_on(case, capsys):
    c = case["contenders"]
    assert {k: v["failed"] for k, v in c.items() if v["failed"]} == {"fused": "out of memory",
                                                                     "compile": "its process was killed"}
    assert c["loop"]["rounds"] == [0.5, 1.0, 1.5] and c["loop"]["images_per_second"] == 128.0
    assert (c["loop"]["low"], c["loop"]["high"]) == (128 / 1.5, 256.0)
    assert c["loop"]["share"] == pytest.approx(0.2) and c["loop"]["setup_seconds"] == 9.0 - 3 * 1.0
    assert case["ours"] == "channels_last"  # bf16 is faster, but no peer had it
    assert case["ratios"] == {"ours/loop": {"median": 2.0, "low": 2.0, "high": 2.0}}
    assert case["macs"] == 40_551_040 and case["shape"] == [3, 32, 32]
    assert set(FakeChild.ended) == {*c, "roofline float32", "roofline bf16"}  # nobody is left behind
    text = bench.table("resnet-20", case)
    assert "failed: out of memory" in text and "2.00×" in text and "20 %" in text and "ours/loop: 2.00" in text


@pytest.mark.slow
def test_record_written_loaded_and_refused(case, home):
    content = bench.record({"resnet-20": case}, torch.device("cpu"), 2)
    import jsonschema  # compiles grammars of formats that no schema here uses: seconds, for this test alone

    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(content)
    assert bench.load() == []
    path = bench.root() / "here.json"
    bench.write(content, path)
    assert bench.load() == [content]
    for change, field in [
            (lambda c: c.pop("device"), "device"),
            (lambda c: c["cases"]["resnet-20"].update(batch="many"), "cases.*batch"),
            (lambda c: c["cases"]["resnet-20"]["contenders"]["loop"].update(images_per_second=-1), "images_per_second"),
            (lambda c: c["cases"]["resnet-20"]["ratios"].update({"loop/ours": {}}), "loop/ours"),
            (lambda c: c["cases"].update({"resnet-21": case}), "resnet-21")]:
        damaged = json.loads(json.dumps(content))
        change(damaged)
        path.write_text(json.dumps(damaged))
        with pytest.raises(bench.BenchError, match=rf"here\.json: field .*{field}"):
            bench.load()
    path.write_text("{")
    with pytest.raises(bench.BenchError, match="not JSON"):
        bench.load()


def command(*words):
    parser = argparse.ArgumentParser()
    bench.main_arguments(parser)
    return bench.main(parser.parse_args(words))


@pytest.mark.parametrize("words, expected", [
    (["--cases", "resnet-21"], "resnet-20, resnet-56, plain-56-quick"),
    (["--contenders", "turbo"], "loop, strong, d2l"), (["--rounds", "0"], "--rounds must be at least 1"),
    (["--device", "gpu"], "auto, cpu, cuda"),
    (["--cases", "resnet-20", "--contenders", "d2l"], "resnet-18-fashion")])
def test_bad_words_are_refused_before_anything_is_measured(home, monkeypatch, words, expected):
    monkeypatch.setattr("resnet_lib.bench.command.Child", None)
    with pytest.raises(ValueError, match=expected):
        command(*words)


def test_command_writes_a_record_and_does_not_drop_cases(home, monkeypatch, capsys):
    monkeypatch.setattr("resnet_lib.bench.command.Child", FakeChild)
    assert command("--cases", "resnet-20,resnet-56", "--contenders", "loop,resident", "--rounds", "2") == 0
    out = capsys.readouterr().out
    assert "plain loop, DataLoader" in out and "written to" in out
    [record] = bench.load()
    assert list(record["cases"]) == ["resnet-20", "resnet-56"]
    with pytest.raises(ValueError, match="also holds resnet-56"):
        command("--cases", "resnet-20")
    assert command("--cases", "resnet-20", "--contenders", "fused", "--out", str(home / "x.json")) == 2  # all failed


def test_what_was_measured_before_an_interruption_is_kept(home, monkeypatch):
    monkeypatch.setattr("resnet_lib.bench.command.Child", FakeChild)
    done = []

    def measure(name, *rest):
        if done:
            raise KeyboardInterrupt
        done.append(name)
        return bench.measure(name, *rest)

    monkeypatch.setattr("resnet_lib.bench.command.measure", measure)
    with pytest.raises(KeyboardInterrupt):
        command("--cases", "resnet-20,resnet-56", "--contenders", "loop", "--rounds", "2")
    assert list(bench.load()[0]["cases"]) == done == ["resnet-20"]


def test_ladder_names_every_contender_with_its_ratio(case):
    figure, [ax] = plots.axes()
    charts.ladder(ax, case)
    words = [t.get_text() for t in ax.texts] + [t.get_text() for t in ax.get_yticklabels()]
    for word in ("1×", "1.25×", "2×", "2.5×", "convolutions alone, bf16", "failed: out of memory", "+ channels_last"):
        assert word in words
    assert ax.get_xlim()[0] == 0


# --- real processes ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_children_are_measured_and_a_killed_one_is_reported(home):
    """On random pictures: set up, frozen, measured, asked for memory, killed."""
    case = replace(CASES["plain-56-quick"], variant="plain-20")
    loop, dead = Child(case, "loop", "cpu", 1, 1), Child(case, "resident", "cpu", 1, 1)
    try:
        facts = loop.answer()
        assert facts["data"] == cases.RANDOM and facts["pictures"] == 1472
        assert facts["settings"]["loader_workers"] in cases.worker_counts()
        assert 0 < loop.ask(2) < 60 and 10**8 < loop.ask(0)["host"] < 10**10
        dead.answer()
        os.kill(dead.process.pid, signal.SIGKILL)
        with pytest.raises(Failure, match="killed .exit status -9"):
            dead.ask(1)
    finally:
        loop.end()
        dead.end()
    assert not loop.process.is_alive() and loop.process.exitcode == 0  # it ended by itself


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="process groups of Linux")
def test_frozen_children_do_not_outlive_a_killed_bench(home):
    code = ("import time\nfrom resnet_lib.bench.process import Child\nfrom resnet_lib.bench.cases import CASES\n"
            "if __name__ == '__main__':\n"
            "    child = Child(CASES['plain-56-quick'], 'resident', 'cpu', 1, 0)\n    child.answer()\n"
            "    print(child.process.pid, flush=True)\n    time.sleep(600)\n")
    (home / "frozen.py").write_text(code)
    env = {**os.environ, "RESNET_LIB_HOME": str(home), "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}
    parent = subprocess.Popen([sys.executable, str(home / "frozen.py")], env=env, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            state = open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":  # dead; nobody has asked for its exit status yet
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the frozen child is still there")


def test_what_is_committed_is_valid_and_says_on_which_machine():
    found = [bench.read(path) for path in sorted((ROOT / "data" / "bench").glob("*.json"))]
    assert found
    for content in found:
        assert content["device"] and content["cores"] and not content["dirty"]
        assert {"loop", "fused"} <= set(content["cases"]["resnet-20"]["contenders"])
