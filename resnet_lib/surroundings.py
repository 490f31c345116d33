"""What a process may have switched on that changes numbers, set as it is by default while a result is made.

A reader's ``torch.set_default_dtype(torch.float64)`` or ``with torch.autocast(…)`` would otherwise reach runs, probes,
checks and timings, which then give other numbers under the same name, or fail in words that nobody understands.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
import copy
import os
import sys
import warnings

import numpy as np
import torch
import torch.nn as nn
from torch.nn.modules import module as hooks_of_modules
from torch.optim import optimizer as hooks_of_optimizers
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

TINY = sys.float_info.min
NUMPY = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # numpy's own default
# Read once, when a library is loaded: changing them now would do nothing.
BY_ENVIRONMENT = {"ONEDNN_DEFAULT_FPMATH_MODE": ("", "STRICT"), "DNNL_DEFAULT_FPMATH_MODE": ("", "STRICT"),
                  "NVIDIA_TF32_OVERRIDE": ("", "0"), "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": ("", "0")}


class SurroundingsError(RuntimeError):
    """Something in this process would change the result and cannot be set aside; the message says what ends it."""


@dataclass(frozen=True)
class _Setting:
    """One switch of the process: how it is read, set, and what it is while a result is made."""

    get: Callable[[], object]
    put: Callable[[object], None]
    wanted: object

    def put_if_other(self, value: object) -> None:
        if self.get() != value:
            self.put(value)


def _of(owner: object, name: str, wanted: object) -> _Setting:
    return _Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), wanted)


SETTINGS = [
    _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    *(_Setting(lambda d=device: torch.is_autocast_enabled(d), lambda on, d=device: torch.set_autocast_enabled(d, on),
               False) for device in ("cpu", "cuda")),
    _Setting(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True),
    _Setting(lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
             lambda to: torch.set_anomaly_enabled(*to), (False, True)),
    _Setting(lambda: (torch.are_deterministic_algorithms_enabled(),
                      torch.is_deterministic_algorithms_warn_only_enabled()),
             lambda to: torch.use_deterministic_algorithms(to[0], warn_only=to[1]), (False, False)),
    _Setting(torch.__future__.get_swap_module_params_on_conversion,
             torch.__future__.set_swap_module_params_on_conversion, False),
    _Setting(torch.__future__.get_overwrite_module_params_on_conversion,
             torch.__future__.set_overwrite_module_params_on_conversion, False),
    _of(torch.backends.mkldnn, "enabled", True),
    _of(torch.backends.mkldnn, "deterministic", False),
    _Setting(torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled, True),
    _of(torch.backends.cudnn, "enabled", True),
    _of(torch.backends.cudnn, "deterministic", False),
    # numbers too small for full precision become zero; only a calculation tells
    _Setting(lambda: TINY / 2 == 0, torch.set_flush_denormal, False),
    _Setting(np.geterr, lambda how: np.seterr(**how), NUMPY),
]

# Everybody's hooks: a reader's would run inside our nets.
HOOKS = [value for where in (hooks_of_modules, hooks_of_optimizers) for name, value in vars(where).items()
         if name.startswith("_global_") and isinstance(value, dict)]


@contextmanager
def standard(threads: int | None = None, tf32: bool | None = False, autotune: bool = False) -> Iterator[None]:
    """Torch and numpy as a process finds them at its start, gradients on; afterwards all is as it was before.

    ``threads`` for the CPU (None: as they are). On a GPU: ``tf32`` (None: in convolutions, torch's own choice) and
    ``autotune``, cuDNN's search for the fastest algorithm. `SurroundingsError` where something cannot be set aside.
    """
    _refuse()
    switches = [*SETTINGS, _Setting(torch.get_num_threads, torch.set_num_threads, threads or torch.get_num_threads()),
                _of(torch.backends.cudnn, "benchmark", autotune), *_float32(tf32)]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        if any(action[0] == "error" for action in warnings.filters):
            stack.enter_context(warnings.catch_warnings())
            warnings.filters[:] = [action for action in warnings.filters if action[0] != "error"]
        before, hooks = [], [dict(each) for each in HOOKS]
        try:
            for each in filter(None, HOOKS):
                each.clear()
            for switch in switches:
                before.append(switch.get())
                switch.put_if_other(switch.wanted)
            yield
        finally:  # also what was right already: the code inside may have changed it
            for switch, value in reversed(list(zip(switches, before, strict=False))):
                switch.put_if_other(value)
            for each, content in zip(HOOKS, hooks, strict=True):
                _fill(each, content)


def _fill(container: dict, content: dict) -> None:
    if container != content:
        container.clear()
        container.update(content)


def _refuse() -> None:
    """SurroundingsError for what would change numbers and is not ours to end."""
    for name, harmless in BY_ENVIRONMENT.items():
        if os.environ.get(name, "") not in harmless:
            raise SurroundingsError(f"the environment variable {name}={os.environ[name]} makes this process round "
                                    f"float32 to fewer digits; unset it and start Python (the kernel) again")
    modes = [m for m in _get_current_function_mode_stack() if not isinstance(m, DeviceContext)]
    for mode in (*modes, *_get_current_dispatch_mode_stack()):
        name = type(mode).__name__.lstrip("_")
        if name != "FlopCounterMode":  # it counts, and changes nothing
            raise SurroundingsError(f"the block “with {name}(…)” that this runs in changes what torch does; call it "
                                    f"outside of that block")


def usual(net: nn.Module) -> nn.Module:
    """``net`` if its weights are float32 and can be trained; else a copy of it that is so.

    Weights made under another default dtype, or in inference mode, which no gradient may meet, would fail in a run.
    """
    weights = [t for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()]
    if all(t.dtype == torch.float32 and not t.is_inference() for t in weights):
        return net
    return copy.deepcopy(net).to(torch.float32)


# --- how exactly float32 is multiplied ------------------------------------------------------------------

# torch 2.9 began to replace three switches by a tree, a value of "none" standing for its parent's. Whoever sets one
# with the old names may not read it with the new ones, and the other way round, so each is used alone where it exists.
PARENTS = [("generic", "all"), ("cuda", "all"), ("mkldnn", "all")]
OPERATIONS = [(backend, op) for backend in ("cuda", "mkldnn") for op in ("matmul", "conv", "rnn")]
TREE = hasattr(torch._C, "_get_fp32_precision_getter")


@cache
def _float32(tf32: bool | None) -> list[_Setting]:
    """Products of float32 numbers in float32, but on a GPU in TF32 where that is wanted: ten bits, more speed."""
    products, convolutions = bool(tf32), tf32 is not False
    if not TREE:
        return [_Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision,
                         "high" if products else "highest"),
                _of(torch.backends.cuda.matmul, "allow_tf32", products),
                _of(torch.backends.cudnn, "allow_tf32", convolutions)]
    get, put = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
    rounded = {("cuda", "matmul"): products, ("cuda", "conv"): convolutions, ("cuda", "rnn"): convolutions}
    # parents first: once they are "none", a child shows what it holds itself
    wanted = dict.fromkeys(PARENTS, "none") | {key: "tf32" if rounded.get(key) else "ieee" for key in OPERATIONS}
    return [_Setting(partial(get, *key), partial(put, *key), value) for key, value in wanted.items()]
