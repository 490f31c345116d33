"""The networks: `resnet` (18 to 152), `cifar_resnet` (6n + 2), `cifar_bottleneck` (9n + 2), small reference systems.

Each builder returns an `nn.Module` that maps ``(N, in_channels, H, W)`` to logits
``(N, num_classes)``, He-initialized, with ``.spec``: a plain dict from which `build` makes it again.
Parameter and multiply–accumulate (MAC) counts stand beside the nets, and are tested. Nets that grow: `nets.deepen`.
"""

from .ablations import relu_first_resnet, tampered_resnet, unnormalized_resnet
from .base import ResNet, init_weights, stage
from .cifar import CIFAR_COST, cifar_bottleneck, cifar_resnet
from .costs import Cost, cost
from .imagenet import IMAGENET, IMAGENET_COST, resnet, resnet18_stages
from .rebuilt import cifar_resnet18, d2l_resnet18, keras_v1, mnist_simple
from .specs import BUILDERS, build, complete, without_defaults

__all__ = ["BUILDERS", "CIFAR_COST", "IMAGENET", "IMAGENET_COST", "Cost", "ResNet", "build", "cifar_bottleneck",
           "cifar_resnet", "cifar_resnet18", "complete", "cost", "d2l_resnet18", "init_weights", "keras_v1",
           "mnist_simple", "relu_first_resnet", "resnet", "resnet18_stages", "stage", "tampered_resnet",
           "unnormalized_resnet", "without_defaults"]
