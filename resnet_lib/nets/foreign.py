"""Weights that others have trained for nets of He15 §4.2, into ours and back.

    net = nets.from_published("resnet20-12fca82f.th")          # in evaluation mode
    train.evaluate(net, data.load("cifar10"), nets.INPUTS["pytorch_resnet_cifar10"])

Three ways of keeping such a net are understood (`FORMS`), told apart by their names:

- "pytorch_resnet_cifar10" (Y. Idelbayev 2018): option A with half of the zeros before and half behind the channels,
  where ours all follow. The functions are equal up to the order of channels; names alone also fit, and are wrong.
- "uvadlc" (P. Lippe 2020): 1×1 shortcuts with a bias and no batch norm, which become a batch norm that only adds.
- "keras" (the example's v1 net, such as MLPerf Tiny's): kernels (height, width, in, out), and "same" padding, which at
  stride 2 is on the right and bottom only (`keras_v1(padding="keras")`).
"""

from collections.abc import Mapping
from pathlib import Path
import re

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .base import ResNet
from .cifar import cifar_resnet
from .rebuilt import keras_v1

FORMS = ("pytorch_resnet_cifar10", "uvadlc", "keras")
INPUTS = {"pytorch_resnet_cifar10": "imagenet", "uvadlc": "channel", "keras": "raw"}  # their `Recipe.normalize`
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def from_published(source: str | Path | Mapping[str, Tensor | np.ndarray]) -> ResNet:
    """Our net with the weights of a file (.th, .ckpt, .npz) or of a dict of tensors, in evaluation mode.

    ValueError where the names or shapes are those of none of `FORMS`.
    """
    state = source if isinstance(source, Mapping) else _read(Path(source))
    state = {name.removeprefix("module.").removeprefix("model."): torch.as_tensor(value)
             for name, value in state.items()}
    form = form_of(state)
    net = _empty(form, state)
    ours = {"pytorch_resnet_cifar10": _from_idelbayev, "uvadlc": _from_uvadlc, "keras": _from_keras}[form](net, state)
    try:
        net.load_state_dict(ours)
    except RuntimeError as error:
        raise ValueError(f"these weights have the names of {form}, but do not fit a net of depth "
                         f"{net.spec['depth']}: {str(error).splitlines()[-1].strip()}") from error
    return net.eval()


def to_published(net: ResNet, form: str) -> dict[str, Tensor]:
    """The weights of a net that `from_published` could have made, under the names and in the order of ``form``."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    return {"pytorch_resnet_cifar10": _to_idelbayev, "uvadlc": _to_uvadlc, "keras": _to_keras}[form](net)


def form_of(state: Mapping[str, Tensor]) -> str:
    """Which of `FORMS` has such names; ValueError."""
    for form, name in (("pytorch_resnet_cifar10", "linear.weight"), ("uvadlc", "output_net.2.weight"),
                       ("keras", "dense/kernel")):
        if name in state:
            return form
    raise ValueError(f"these weights are of none of the forms {', '.join(FORMS)}: their names are such as "
                     f"{', '.join(list(state)[:3]) or 'none at all'}")


def _read(path: Path) -> Mapping:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content)


def _blocks_in(form: str, state: Mapping[str, Tensor]) -> int:
    """How many blocks a net with such weights has in all."""
    if form == "keras":  # two batch norms a block, and the stem's
        return (sum(name.endswith("gamma") for name in state) - 1) // 2
    block = r"layer\d\.\d+\.conv1\.weight" if form == "pytorch_resnet_cifar10" else r"blocks\.\d+\.net\.0\.weight"
    return sum(re.fullmatch(block, name) is not None for name in state)


def _empty(form: str, state: Mapping[str, Tensor]) -> ResNet:
    """A net of the depth, width, input channels and classes that the weights have."""
    depth = 2 * _blocks_in(form, state) + 2
    if form == "keras":
        return keras_v1(depth, padding="keras", num_classes=state["dense/kernel"].shape[1],
                        in_channels=state["conv2d/kernel"].shape[2] if "conv2d/kernel" in state else 3)
    stem, head = (("conv1.weight", "linear.weight") if form == "pytorch_resnet_cifar10" else
                  ("input_net.0.weight", "output_net.2.weight"))
    width, in_channels = state[stem].shape[:2] if stem in state else (16, 3)
    return cifar_resnet(depth, shortcut="A" if form == "pytorch_resnet_cifar10" else "B", width=width,
                        in_channels=in_channels, num_classes=state[head].shape[0])


# --- option A: the same function with channels in another order ------------------------------------------


def _orders(width: int) -> list[Tensor]:
    """For the channels between blocks of each stage: at our place k stands their channel ``order[k]``.

    They put half of the new zero channels before the old ones, so that the old channel c becomes c + new / 2; ours
    keep their places and new ones follow.
    """
    orders = [torch.arange(width)]
    for _ in range(2):
        old = orders[-1]
        half = len(old) // 2
        new = torch.cat([torch.arange(half), torch.arange(len(old) + half, 2 * len(old))])
        orders.append(torch.cat([old + half, new]))
    return orders


def _reordered(state: Mapping[str, Tensor], orders: list[Tensor]) -> dict[str, Tensor]:
    """Weights of a net whose channels between the blocks of stage k are taken in the order ``orders[k]``."""
    found = {}
    for name, value in state.items():
        stage = int(name[5]) - 1 if name.startswith("layer") else -1
        if name.endswith("num_batches_tracked"):
            pass
        elif stage >= 0 and ".conv2." in name or stage >= 0 and ".bn2." in name:
            value = value[orders[stage]]  # what a block puts out
        elif stage >= 0 and ".conv1." in name:  # what a block reads: the first of a stage, what the one before puts out
            value = value[:, orders[stage - 1 if stage and name.startswith(f"layer{stage + 1}.0.") else stage]]
        elif name == "fc.weight":
            value = value[:, orders[-1]]
        found[name] = value.clone()
    return found


def _from_idelbayev(net: ResNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {name.replace("linear.", "fc."): value for name, value in state.items()}
    counts = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    return counts | _reordered(named, _orders(net.spec["width"]))


def _to_idelbayev(net: ResNet) -> dict[str, Tensor]:
    back = [order.argsort() for order in _orders(net.spec["width"])]
    found = _reordered(net.state_dict(), back)
    return {"module." + name.replace("fc.", "linear."): value for name, value in found.items()
            if not name.endswith("num_batches_tracked")}


# --- names only, and a bias instead of a batch norm -------------------------------------------------------


def _uvadlc_names(net: ResNet) -> dict[str, str]:
    """Our name of each tensor -> theirs; those of a shortcut's batch norm are not among them."""
    parts = {"conv1": "net.0", "bn1": "net.1", "conv2": "net.3", "bn2": "net.4", "downsample.0": "downsample"}
    names, blocks = {}, [f"layer{k}.{i}" for k in (1, 2, 3) for i in range(len(getattr(net, f"layer{k}")))]
    for name in net.state_dict():
        block = next((b for b in blocks if name.startswith(f"{b}.")), None)
        if block is None:
            for ours, theirs in (("conv1", "input_net.0"), ("bn1", "input_net.1"), ("fc", "output_net.2")):
                if name.startswith(f"{ours}."):
                    names[name] = name.replace(ours, theirs, 1)
            continue
        part, _, field = name.removeprefix(f"{block}.").rpartition(".")
        if part in parts:
            names[name] = f"blocks.{blocks.index(block)}.{parts[part]}.{field}"
    return names


def _from_uvadlc(net: ResNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours, names = net.state_dict(), _uvadlc_names(net)
    missing = [theirs for theirs in names.values() if theirs not in state]
    if missing:
        raise ValueError(f"these weights lack {', '.join(missing[:3])}")
    ours |= {name: state[theirs] for name, theirs in names.items()}
    for name, module in net.named_modules():  # a batch norm that adds the bias and does nothing else
        if isinstance(module, nn.BatchNorm2d) and name.endswith("downsample.1"):
            bias = state[names[name.replace("downsample.1", "downsample.0.weight")].replace("weight", "bias")]
            ours |= {f"{name}.bias": bias, f"{name}.weight": torch.ones_like(bias),
                     f"{name}.running_mean": torch.zeros_like(bias),
                     f"{name}.running_var": torch.full_like(bias, 1 - module.eps)}
    return ours


def _to_uvadlc(net: ResNet) -> dict[str, Tensor]:
    ours, names = net.state_dict(), _uvadlc_names(net)
    found = {theirs: ours[name].clone() for name, theirs in names.items()}
    for name in names:
        if name.endswith("downsample.0.weight"):
            bias = ours[name.replace("0.weight", "1.bias")].clone()
            found[names[name].replace("weight", "bias")] = bias
    return {f"model.{name}": value for name, value in found.items()}


# --- Keras: its own names, numbered in the order of making, and axes ---------------------------------------


def _keras_layers(net: ResNet) -> list[tuple[str, str]]:
    """(our name, Keras' name) of each layer with weights."""
    layers, counts = [], {"conv2d": 0, "batch_normalization": 0}

    def add(ours: str, kind: str) -> None:
        number = counts[kind]
        counts[kind] += 1
        layers.append((ours, f"{kind}_{number}" if number else kind))

    add("conv1", "conv2d")
    add("bn1", "batch_normalization")
    for k in (1, 2, 3):
        for i, block in enumerate(getattr(net, f"layer{k}")):
            for part in ("1", "2"):
                add(f"layer{k}.{i}.conv{part}", "conv2d")
                add(f"layer{k}.{i}.bn{part}", "batch_normalization")
            if block.downsample is not None:
                add(f"layer{k}.{i}.downsample", "conv2d")
    return [*layers, ("fc", "dense")]


def _from_keras(net: ResNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = net.state_dict()
    for name, theirs in _keras_layers(net):
        try:
            if "normalization" in theirs:
                ours |= {f"{name}.{field}": state[f"{theirs}/{keras}"] for field, keras in NORM.items()}
                continue
            kernel = state[f"{theirs}/kernel"]
            ours[f"{name}.weight"] = (kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T).contiguous()
            ours[f"{name}.bias"] = state[f"{theirs}/bias"]
        except KeyError as error:
            raise ValueError(f"these weights lack {error.args[0]}") from None
    return ours


def _to_keras(net: ResNet) -> dict[str, Tensor]:
    ours, found = net.state_dict(), {}
    for name, theirs in _keras_layers(net):
        if "normalization" in theirs:
            found |= {f"{theirs}/{keras}": ours[f"{name}.{field}"].clone() for field, keras in NORM.items()}
            continue
        weight = ours[f"{name}.weight"]
        found[f"{theirs}/kernel"] = (weight.permute(2, 3, 1, 0) if weight.ndim == 4 else weight.T).contiguous().clone()
        found[f"{theirs}/bias"] = ours[f"{name}.bias"].clone()
    return found
