"""The networks: `resnet` (18 to 152), `cifar_resnet` (6n + 2), `cifar_bottleneck` (9n + 2), small reference systems.

Each builder returns an `nn.Module` that maps ``(N, in_channels, H, W)`` to logits
``(N, num_classes)``, He-initialized, with ``.spec``: a plain dict from which `build` makes it again.
Parameter and multiply–accumulate (MAC) counts stand here, beside the nets, and are tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import copy
import hashlib
import inspect

import torch
import torch.nn as nn

from .blocks import BasicBlock, Bottleneck, LinearResidual, PlainBlock, PreActBlock, conv3x3
from .skeleton import ResNet, blocks_per_stage, finish, stage
from .skeleton import init_weights as init_weights  # asked for under this name
from .variants import relu_first_resnet, tampered_resnet, unnormalized_resnet

# depth -> (block, blocks per stage); He15 Table 1
IMAGENET = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
# parameters, then GMAC at 224×224 with the stride on the 3×3 ("v1.5") and on the 1×1 (the paper)
IMAGENET_COST = {
    18: (11_689_512, 1.814, 1.814),
    34: (21_797_672, 3.664, 3.664),
    50: (25_557_032, 4.089, 3.858),
    101: (44_549_160, 7.801, 7.570),
    152: (60_192_808, 11.514, 11.282),
}
# parameters with option A (and of the plain net), MMAC at 32×32
CIFAR_COST = {
    20: (269_722, 40.55),
    32: (464_154, 68.86),
    44: (658_586, 97.17),
    56: (853_018, 125.49),
    110: (1_727_962, 252.89),
}


def resnet18_stages(block: type[nn.Module] = BasicBlock, strides: Sequence[int] = (1, 2, 2, 2), width: int = 64,
                    blocks: int = 2, **options) -> list[nn.Sequential]:
    """The four stages of ResNet-18, two ``blocks`` of w, 2w, 4w and 8w channels each; options go to the blocks."""
    widths = (width, width, 2 * width, 4 * width, 8 * width)
    return [stage(block, widths[k], widths[k + 1], blocks, s, **options) for k, s in enumerate(strides)]


def resnet(depth: int, num_classes: int = 1000, in_channels: int = 3, stride_in: str = "3x3") -> ResNet:
    """ResNet-18, 34, 50, 101 or 152 for ImageNet-size pictures (He15 Table 1), shortcuts B.

    With ``stride_in="3x3"`` it is torchvision's net: same names, same numbers, bit for bit.
    ``stride_in="1x1"`` is the paper's bottleneck; it changes nothing for depths 18 and 34.
    """
    if depth not in IMAGENET:
        raise ValueError(f"depth must be one of {', '.join(map(str, IMAGENET))}, got {depth!r}")
    block, blocks = IMAGENET[depth]
    options = {"stride_in": stride_in} if block is Bottleneck else {}
    stages, c_in = [], 64
    for k, n in enumerate(blocks):
        width = 64 * 2**k
        stages.append(stage(block, c_in, width, n, 1 if k == 0 else 2, **options))
        c_in = width * block.expansion
    stem = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
    return finish(ResNet(stem, stages, c_in, num_classes, pool=True), "resnet", depth=depth,
                   num_classes=num_classes, in_channels=in_channels, stride_in=stride_in)


def cifar_resnet(depth: int, residual: bool = True, shortcut: str = "A", width: int = 16, in_channels: int = 3,
                 num_classes: int = 10, block: str = "post", norm: bool = True) -> ResNet:
    """The 6n + 2 net of He15 §4.2: 3×3 stem, three stages of n blocks, widths w, 2w, 4w.

    ``residual=False`` is the plain control, with exactly the parameters of option A. ``block``:
    "post" (He15) or "pre" (full pre-activation, He16). The paper's width is 16. ``norm=False``: no batch
    norm anywhere, biases on all convolutions instead.
    """
    n = blocks_per_stage(depth)
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    if block not in ("post", "pre"):
        raise ValueError(f"block must be one of post, pre, got {block!r}")
    if block == "pre" and not residual:
        raise ValueError("the plain control is defined for block='post' only; use residual=True with block='pre'")
    if block == "pre" and not norm:
        raise ValueError("nets without batch norm are defined for block='post' only")
    kind = PreActBlock if block == "pre" else BasicBlock if residual else PlainBlock
    options = {"shortcut": shortcut} if residual else {}
    if not norm:
        options |= {"norm": False, "bias": True}
    stages = [stage(kind, width * 2 ** max(k - 1, 0), width * 2**k, n, 1 if k == 0 else 2, **options)
              for k in range(3)]
    if block == "pre":
        stages[0][0].first = True
    net = ResNet(conv3x3(in_channels, width, bias=not norm), stages, 4 * width, num_classes,
                 pre_activation=block == "pre", norm=norm)
    return finish(net, "cifar_resnet", depth=depth, residual=residual, shortcut=shortcut, width=width,
                   in_channels=in_channels, num_classes=num_classes, block=block, norm=norm)


def cifar_bottleneck(depth: int, width: int = 16, expansion: int = 4, shortcut: str = "A", stride_in: str = "3x3",
                     in_channels: int = 3, num_classes: int = 10) -> ResNet:
    """The CIFAR net with bottlenecks: 9n + 2 layers, n blocks of three in each stage, as He16's ResNet-164.

    The 3×3 of the stages have w, 2w, 4w channels, their outputs ``expansion`` times as many; the stem has w. Blocks
    are those of He15 (activation after the addition).
    """
    valid = isinstance(depth, int) and not isinstance(depth, bool) and depth >= 11 and (depth - 2) % 9 == 0
    if not valid:
        raise ValueError(f"depth must be 9n + 2 (11, 20, 29, 38, 47, 56, 83, 164, …), got {depth!r}")
    for name, value in (("width", width), ("expansion", expansion)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    stages, c_in, options = [], width, {"shortcut": shortcut, "stride_in": stride_in, "expansion": expansion}
    for k in range(3):
        w = width * 2**k
        first = Bottleneck(c_in, w, 1 if k == 0 else 2, **options)
        c_in = w * expansion
        stages.append(nn.Sequential(first, *[Bottleneck(c_in, w, **options) for _ in range((depth - 2) // 9 - 1)]))
    return finish(ResNet(conv3x3(in_channels, width), stages, c_in, num_classes), "cifar_bottleneck", depth=depth,
                  width=width, expansion=expansion, shortcut=shortcut, stride_in=stride_in, in_channels=in_channels,
                  num_classes=num_classes)


def cifar_resnet18(num_classes: int = 10, in_channels: int = 3, pool: bool = True, width: int = 64,
                   blocks: int = 2) -> ResNet:
    """ResNet-18 with a 3×3/1 stem; ``pool`` keeps the 3×3/2 max-pooling of the ImageNet net.

    ``width``: channels of the stem and the first stage, 64 in ResNet-18; the others have 2, 4 and 8 times as many.
    ``blocks``: in each stage, two in ResNet-18; with one it is ResNet-10.
    """
    for name, value in (("width", width), ("blocks", blocks)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    stages = resnet18_stages(width=width, blocks=blocks)
    net = ResNet(conv3x3(in_channels, width), stages, 8 * width, num_classes, pool=pool)
    return finish(net, "cifar_resnet18", num_classes=num_classes, in_channels=in_channels, pool=pool, width=width,
                  blocks=blocks)


def d2l_resnet18(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """ResNet-18 as the d2l book builds it: biases on all convolutions (+4,800 parameters) and no
    batch norm on the shortcuts (−1,792)."""
    stem = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=True)
    stages = resnet18_stages(bias=True, shortcut_norm=False)
    return finish(ResNet(stem, stages, 512, num_classes, pool=True), "d2l_resnet18", num_classes=num_classes,
                   in_channels=in_channels)


def keras_v1(depth: int = 20, num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """The 6n + 2 net of Keras' CIFAR-10 example: biased convolutions, bare 1×1 projections, BN ε 1e-3
    and momentum 0.99 (0.01 in PyTorch's convention).

    Keras pads stride-2 convolutions on the right and bottom only; here the padding is symmetric, as
    in PyTorch. The weights that multiply a border therefore differ from the original.
    """
    n = blocks_per_stage(depth)
    options = {"shortcut": "B", "bias": True, "shortcut_norm": False}
    stages = [stage(BasicBlock, 16 * 2 ** max(k - 1, 0), 16 * 2**k, n, 1 if k == 0 else 2, **options)
              for k in range(3)]
    net = ResNet(conv3x3(in_channels, 16, bias=True), stages, 64, num_classes)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.01
    return finish(net, "keras_v1", depth=depth, num_classes=num_classes, in_channels=in_channels)


def mnist_simple(num_classes: int = 10, norm: bool = False) -> nn.Sequential:
    """The small residual system for 28×28 gray pictures: 42,790 parameters, no batch norm.

    ``norm`` puts batch norm and ReLU inside its two blocks (+190 parameters)."""
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), LinearResidual(20, 30, norm),
        nn.Conv2d(20, 15, 3), nn.MaxPool2d(2), nn.ReLU(), LinearResidual(15, 30, norm),
        nn.Flatten(), nn.Linear(375, num_classes))
    return finish(net, "mnist_simple", num_classes=num_classes, norm=norm)


BUILDERS = {f.__name__: f for f in (resnet, cifar_resnet, cifar_bottleneck, cifar_resnet18, d2l_resnet18, keras_v1,
                                    mnist_simple, tampered_resnet, unnormalized_resnet, relu_first_resnet)}


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


def spec_of(net: nn.Module, with_weights: bool = False) -> dict:
    """What stands for a net in a run's id: its builder's spec, or a hash of the code of a net of one's own.

    ``with_weights`` adds a hash of its weights, for runs that begin with those it came with.
    """
    spec = getattr(net, "spec", None)
    if spec is None:
        digest = hashlib.sha256(str(net).encode())
        for kind in dict.fromkeys(type(m) for m in net.modules() if not type(m).__module__.startswith("torch.")):
            digest.update(inspect.getsource(kind).encode())
        spec = {"name": type(net).__name__, "code": digest.hexdigest()}
    if with_weights:
        digest = hashlib.sha256()
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        spec = {**spec, "weights": digest.hexdigest()}
    return spec


def build(spec: dict) -> nn.Module:
    """The net that a spec describes, e.g. ``{"name": "cifar_resnet", "depth": 20}``."""
    arguments = complete(spec)
    return BUILDERS[arguments.pop("name")](**arguments)


@dataclass(frozen=True)
class Cost:
    """What a net costs for one picture: parameters, MACs, and the output shape of each stage."""

    parameters: int
    macs: int
    stages: tuple[tuple[str, tuple[int, ...]], ...]


def cost(net: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Count parameters, multiply–accumulates (torch.utils.flop_counter counts two operations each)
    and the shape ``(C, H, W)`` after every top-level stage, for one picture of ``input_shape``."""
    from torch.utils.flop_counter import FlopCounterMode

    shadow = copy.deepcopy(net).to("meta").eval()  # shapes without arithmetic
    seen: list[tuple[str, tuple[int, ...]]] = []
    for name, child in shadow.named_children():
        if not isinstance(child, (nn.Identity, nn.BatchNorm2d)):  # those change no shape
            child.register_forward_hook(lambda _m, _i, out, name=name: seen.append((name, tuple(out.shape[1:]))))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, *input_shape, device="meta"))
    parameters = sum(p.numel() for p in net.parameters())
    return Cost(parameters, counter.get_total_flops() // 2, tuple(seen))
