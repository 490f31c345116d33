"""Nets by name: a plain dict, the *spec*, says which builder with which arguments, and `build` makes the net."""

import inspect

import torch.nn as nn

from .ablations import relu_first_resnet, tampered_resnet, unnormalized_resnet
from .cifar import cifar_bottleneck, cifar_resnet
from .imagenet import resnet
from .rebuilt import cifar_resnet18, d2l_resnet18, keras_v1, mnist_simple
from .relatives import dense_net, highway_net, se_resnet
from .conventional import small_cnn, vgg

BUILDERS = {f.__name__: f for f in (resnet, cifar_resnet, cifar_bottleneck, cifar_resnet18, d2l_resnet18, keras_v1,
                                    tampered_resnet, unnormalized_resnet, relu_first_resnet, vgg, small_cnn,
                                    highway_net, se_resnet, dense_net)}
BUILDERS["mnist_simple_relu"] = mnist_simple


def complete(spec: dict) -> dict:
    """``spec`` with every argument the builder has, defaults included, so that equal nets have equal specs."""
    name = spec.get("name")
    if name not in BUILDERS:
        raise ValueError(f"net must be one of {', '.join(BUILDERS)}, got {name!r}")
    arguments = inspect.signature(BUILDERS[name]).bind(**{k: v for k, v in spec.items() if k != "name"})
    arguments.apply_defaults()
    return {"name": name, **arguments.arguments}


def without_defaults(spec: dict) -> dict:
    """``spec`` without the arguments that are the builder's defaults; as it is where no builder has its name."""
    builder = BUILDERS.get(spec.get("name"))
    if builder is None:
        return spec
    usual = {k: p.default for k, p in inspect.signature(builder).parameters.items()}
    return {k: v for k, v in spec.items() if k == "name" or k not in usual or v != usual[k]}


def build(spec: dict) -> nn.Module:
    """The net that a spec describes, e.g. ``{"name": "cifar_resnet", "depth": 20}``."""
    arguments = complete(spec)
    return BUILDERS[arguments.pop("name")](**arguments)
