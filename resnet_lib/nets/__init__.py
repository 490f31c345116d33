"""The networks: `resnet` (18 to 152), `cifar_resnet` (6n + 2), `cifar_bottleneck` (9n + 2), reference systems, `vgg`.

Each builder returns an `nn.Module` that maps ``(N, in_channels, H, W)`` to logits
``(N, num_classes)``, He-initialized, with ``.spec``: a plain dict from which `build` makes it again.
Parameter and multiply–accumulate (MAC) counts stand beside the nets, and are tested. Nets that grow: `nets.deepen`.
Weights that others have trained: `from_published`.
"""

from .ablations import relu_first_resnet, tampered_resnet, unnormalized_resnet
from .base import ResNet, init_weights, stage
from .cifar import CIFAR_COST, cifar_bottleneck, cifar_resnet
from .costs import Cost, cost
from .foreign import FORMS, INPUTS, from_published, to_published
from .imagenet import IMAGENET, IMAGENET_COST, resnet, resnet18_stages
from .rebuilt import cifar_resnet18, d2l_resnet18, keras_v1, mnist_simple
from .relatives import dense_net, highway_net, se_resnet
from .specs import BUILDERS, build, complete, without_defaults
from .conventional import VGG, VGG_COST, ConvNet, small_cnn, vgg

__all__ = ["BUILDERS", "CIFAR_COST", "ConvNet", "Cost", "FORMS", "IMAGENET", "IMAGENET_COST", "INPUTS", "ResNet",
           "VGG", "VGG_COST", "build", "cifar_bottleneck", "cifar_resnet", "cifar_resnet18", "complete", "cost",
           "d2l_resnet18", "dense_net", "from_published", "highway_net", "init_weights", "keras_v1", "mnist_simple",
           "relu_first_resnet", "resnet", "resnet18_stages", "se_resnet", "small_cnn", "stage", "tampered_resnet",
           "to_published", "unnormalized_resnet", "vgg", "without_defaults"]
