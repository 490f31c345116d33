"""Other people's tools as judges: fvcore's MACs, torchmetrics' calibration error, timm's ResNets.

They are in the environment of the tests (pyproject.toml, extra "test"); where one is missing its tests are skipped.
"""

import pytest
import torch

from conftest import randomize_batch_norm
from resnet_lib import nets
from resnet_lib.lab import calibration


pytestmark = pytest.mark.slow  # they are slow to import


@pytest.mark.parametrize("build, side", [
    (lambda: nets.cifar_resnet(20), 32), (lambda: nets.cifar_resnet(56, shortcut="B"), 32),
    (lambda: nets.cifar_bottleneck(29), 32), (lambda: nets.keras_v1(20), 32),
    (lambda: nets.keras_v1(20, padding="keras"), 32), (lambda: nets.cifar_resnet18(), 32),
    (lambda: nets.resnet(18), 224), (lambda: nets.resnet(50), 224), (lambda: nets.resnet(50, stride_in="1x1"), 224),
    (lambda: nets.vgg(11), 64), (lambda: nets.resnet(152), 64)])
def test_fvcore_counts_the_same_multiplications(build, side):
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore is not installed")
    net = build().eval()
    found = fvcore.FlopCountAnalysis(net, torch.rand(1, 3, side, side)).unsupported_ops_warnings(False)
    found = found.uncalled_modules_warnings(False).by_operator()
    assert nets.cost(net, (3, side, side)).macs == found["conv"] + found["linear"]


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_torchmetrics_finds_the_same_calibration_error(scale):
    metrics = pytest.importorskip("torchmetrics.classification", reason="torchmetrics is not installed")
    g = torch.Generator().manual_seed(0)
    z = scale * torch.randn(3_000, 10, generator=g)
    y = torch.multinomial(torch.randn(3_000, 10, generator=g).add(z).softmax(1), 1, generator=g)[:, 0]
    theirs = metrics.MulticlassCalibrationError(num_classes=10, n_bins=calibration.BINS, norm="l1")(z.softmax(1), y)
    assert calibration.ece(z, y) == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("depth", nets.IMAGENET)
def test_timm_computes_the_same_to_the_last_bit(depth):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    ours, theirs = nets.resnet(depth), timm.create_model(f"resnet{depth}", pretrained=False)
    randomize_batch_norm(ours, affine=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), theirs.eval()(x))
