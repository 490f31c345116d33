"""Whatever a reader has switched on in the process: runs, resumed runs, probes and checks come out as without it."""

from contextlib import contextmanager
import ast
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from conftest import cli, mostly_slow, the_book, toy_images
from parser import CodeCell, Solution
from resnet_lib import checks, nets, probes
from resnet_lib.checks import check
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.surroundings import SETTINGS, SurroundingsError, _float32, standard
from resnet_lib.train import Run

BOOK = the_book()


@contextmanager
def switched(put, on, off):
    put(on)
    try:
        yield
    finally:
        put(off)


def attribute(owner, name, value):
    return switched(lambda to: setattr(owner, name, to), value, getattr(owner, name))


@contextmanager
def products_in_bf16():
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def strict_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def doubling_hook():
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, _inputs, out: 2 * out if isinstance(module, nn.Conv2d) else None)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def no_steps():
    def undo(optimizer, _args, _named):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad.zero_()

    handle = register_optimizer_step_pre_hook(undo)
    try:
        yield
    finally:
        handle.remove()


DISTURBANCES = {
    "float64": lambda: switched(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: switched(torch.set_default_dtype, torch.float16, torch.float32),
    "bfloat16": lambda: switched(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "no-grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast-bf16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast-f16": lambda: torch.autocast("cpu", torch.float16),
    "device-meta": lambda: switched(torch.set_default_device, "meta", None),
    "device-block": lambda: torch.device("meta"),
    "matmul-medium": products_in_bf16,
    "no-onednn": lambda: torch.backends.mkldnn.flags(enabled=False),
    "deterministic": lambda: switched(torch.use_deterministic_algorithms, True, False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "flush-denormals": lambda: switched(torch.set_flush_denormal, True, False),
    "numpy-raises": lambda: np.errstate(all="raise"),
    "warnings-raise": strict_warnings,
    "swap-parameters": lambda: switched(torch.__future__.set_swap_module_params_on_conversion, True, False),
    "module-hook": doubling_hook,
    "optimizer-hook": no_steps,
    "threads": lambda: switched(torch.set_num_threads, 3, torch.get_num_threads()),
}
if hasattr(torch.backends, "fp32_precision"):  # torch 2.9
    DISTURBANCES |= {"tf32": lambda: attribute(torch.backends, "fp32_precision", "tf32"),
                     "conv-bf16": lambda: attribute(torch.backends.mkldnn.conv, "fp32_precision", "bf16")}
SPOILS_ITS_OWN = {"no-grad", "inference", "device-meta", "device-block"}  # of answers that are computed, not given


def everything():
    """All that `standard` may touch, as it is now."""
    return ([s.get() for s in (*SETTINGS, *_float32(False))], torch.get_num_threads(), torch.get_default_device(),
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.backends.cudnn.benchmark,
            list(warnings.filters), dict(nn.modules.module._global_forward_hooks))


def trained(resumed: bool):
    """Rows, probes and last weights of a short run with all that a run has; half of it from a checkpoint."""
    recipe = Recipe(steps=6, batch=32, lr=0.05, drops=(4,), eval_every=2, probe_steps=(0, 3), mirrored=True,
                    validation=0.1, deepen_to=14, deepen_at=3)

    def run():
        with torch.device("cpu"):  # a net or pictures without values cannot be trained by anybody
            return Run(nets.cifar_resnet(8, width=4), toy_images(), recipe, Execution(device="cpu", threads=1))

    first = run()
    for _ in range(4 if resumed else 6):
        first.advance()
    if resumed:
        second = run()
        second.load_state_dict(first.state_dict())
        list(second)
        first = second
    return first.rows, first.probes, [p.detach().clone() for p in first.net.parameters()]


def same(one, other) -> bool:
    return one[:2] == other[:2] and all(torch.equal(a, b) for a, b in zip(one[2], other[2], strict=True))


@pytest.fixture(scope="module")
def usual():
    return trained(False)


@pytest.mark.parametrize("name", mostly_slow(DISTURBANCES, "float64", "autocast-bf16", "module-hook"))
def test_a_run_comes_out_as_in_an_undisturbed_process(name, usual):
    with DISTURBANCES[name]():
        before = everything()
        assert same(trained(False), usual)
        assert same(trained(True), usual)
        assert everything() == before


def test_each_disturbance_is_one():
    """Without `standard` around it the arithmetic of a training step fails or comes out otherwise (what only another
    processor, a hook or a warning would show aside)."""
    def step():
        generator = torch.Generator().manual_seed(0)
        net = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16 * 36, 64))
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float32))
        out = net(torch.randn(32, 8, 8, 8, generator=generator, dtype=torch.float32))
        out.square().mean().backward()
        np.array([1.0]) / np.array([0.0])
        return out.detach()

    with np.errstate(divide="ignore"):
        want = step()
    quiet = []
    for name, disturbance in DISTURBANCES.items():
        try:
            with disturbance(), warnings.catch_warnings():
                if torch.equal(step().float(), want):
                    quiet.append(name)
        except Exception:
            pass
    # these change speed, memory or checks, another device, or (bf16 products) only processors that have it
    assert set(quiet) <= {"deterministic", "anomalies", "flush-denormals", "swap-parameters", "optimizer-hook",
                          "threads", "tf32", "matmul-medium", "conv-bf16", "no-onednn", "warnings-raise"}


@pytest.mark.parametrize("name", mostly_slow(DISTURBANCES, "float64", "no-grad"))
def test_probes_measure_what_they_measure_in_an_undisturbed_process(name):
    net = nets.init_weights(nets.cifar_resnet(8, width=4), "he", torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(20, 3, 8, 8, generator=generator), torch.arange(20) % 10
    want = probes.layer_norms(net, x, y), probes.block_changes(net, x)
    with DISTURBANCES[name]():
        assert (probes.layer_norms(net, x, y), probes.block_changes(net, x)) == want


# --- checks


def solutions(chapters) -> list[tuple[str, str, list[str], list[str]]]:
    """(chapter, label, import lines of the chapter, code cells) of each solution with code."""
    found = []
    for name in chapters:
        imports = [ast.unparse(node) for cell in BOOK.pages[name].walk(CodeCell) if not cell.code.startswith("%")
                   for node in ast.parse(cell.code).body if isinstance(node, ast.Import | ast.ImportFrom)]
        for solution in BOOK.pages[name].walk(Solution):
            cells = [p.code for p in solution.parts if isinstance(p, CodeCell)]
            if cells:
                found.append((name, solution.label, list(dict.fromkeys(imports)), cells))
    return found


def verdicts(found, monkeypatch) -> dict[str, str]:
    """What `check` says of each solution that needs nothing from its chapter's cells but their imports."""
    said = {}
    for _, label, imports, cells in found:
        names = {"__name__": "__main__"}
        exec("\n".join(imports), names)

        def noted(asked, answer=None, label=label):
            verdict = check(asked, answer)
            said[label] = str(verdict)
            return verdict

        monkeypatch.setattr(checks, "check", noted)  # some solutions import it
        names["check"] = noted
        try:
            for cell in cells:
                exec(cell, names)
        except Exception:  # a name of an earlier cell, or code of its own that the disturbance stops
            continue
    return said


def sample():
    """Two chapters' solutions: nets, functions, a class that trains, numbers."""
    return solutions([name for name in BOOK.chapters if name.endswith(("degradation", "bottlenecks"))])


@pytest.mark.parametrize("name", mostly_slow(DISTURBANCES, "inference"))
def test_right_answers_are_right(name, monkeypatch):
    with DISTURBANCES[name]():
        said = verdicts(sample(), monkeypatch)
    assert len(said) >= 7 and set(said.values()) == {"✓ Right."}, said


@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize("name", DISTURBANCES)
def test_all_right_answers_are_right(name, monkeypatch):
    with DISTURBANCES[name]():
        said = verdicts(solutions(BOOK.chapters), monkeypatch)
    assert len(said) >= 38 and set(said.values()) == {"✓ Right."}, said


def test_a_net_made_under_another_default_is_judged_and_trained():
    images, recipe = toy_images(), Recipe(steps=1, batch=32, drops=(), augment="none")
    for disturbance in (DISTURBANCES["float64"], DISTURBANCES["bfloat16"], torch.inference_mode):
        with disturbance():
            net = nets.cifar_resnet(8, width=4)
        row = list(Run(net, images, recipe, Execution(device="cpu", threads=1)))[-1]
        assert 0 <= row["test_error"] <= 1


# --- what cannot be set aside


def test_a_mode_of_torch_is_refused_in_one_line():
    class Rounding(TorchDispatchMode):
        def __torch_dispatch__(self, f, types, args=(), kwargs=None):
            return f(*args, **(kwargs or {}))

    with Rounding():
        with pytest.raises(SurroundingsError, match="with Rounding") as caught, standard():
            pass
        assert "\n" not in str(caught.value)
        verdict = check("degradation-3", lambda n, g, lr: (n**2 + (lr * g) ** 2) ** 0.5)
        assert verdict.state == "open" and "with Rounding" in str(verdict)
    with FlopCounterMode(display=False), standard():  # counting changes nothing
        pass


@pytest.mark.slow
def test_rounding_that_was_asked_for_before_the_process_began_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    done = cli("run", "degradation", "--variants", "plain-20", "--workers", "1", home=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "unset it" in done.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_what_the_code_inside_switches_on_ends_with_it():
    before = everything()
    with pytest.raises(ZeroDivisionError), standard(threads=1):
        torch.set_default_dtype(torch.float16)
        torch.set_num_threads(2)
        np.seterr(all="ignore")
        torch.set_flush_denormal(True)
        if hasattr(torch.backends, "fp32_precision"):
            torch.backends.fp32_precision = "tf32"
        nn.modules.module.register_module_forward_hook(lambda *_: None)
        raise ZeroDivisionError
    assert everything() == before


def test_a_setting_that_fails_leaves_none_of_the_others_changed(monkeypatch):
    """Halfway through, with a reader's float64 already set aside."""
    torch.set_default_dtype(torch.float64)
    try:
        def refuse(_threads):
            raise RuntimeError("no")

        monkeypatch.setattr(torch, "set_num_threads", refuse)
        with pytest.raises(RuntimeError, match="no"), standard(threads=torch.get_num_threads() + 1):
            pass
        assert torch.get_default_dtype() == torch.float64
    finally:
        monkeypatch.undo()
        torch.set_default_dtype(torch.float32)
