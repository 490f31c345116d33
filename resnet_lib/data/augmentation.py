"""The mean picture, and augmentation of a whole batch in one operation.

    view = pad(images.train_x)                                   # once
    dy, dx, flip = draw_crops(len(images.train_x), 4, generator)  # once per epoch
    batch = crop_flip(view, index, dy[index], dx[index], flip[index], size=16)
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_mean(x: Tensor) -> Tensor:
    """The mean picture of uint8 (N, C, H, W) as float32 (C, H, W) in [0, 1].

    The sum is exact, in integers (int32 holds 8 million pictures), so that no order of adding matters.
    """
    return (x.sum(0, dtype=torch.int32).double() / (255 * len(x))).float()


def channels(x: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 (N, C, H, W), in [0, 1]; over all pixels, sums in integers."""
    n = x.numel() // x.shape[1]
    wide = [x[:, c].to(torch.int64) for c in range(x.shape[1])]
    means = [int(w.sum()) / n for w in wide]
    variances = [int(w.square().sum()) / n - m * m for w, m in zip(wide, means, strict=True)]
    return [m / 255 for m in means], [max(v, 0.0) ** 0.5 / 255 for v in variances]


def pad(x: Tensor, padding: int = 4) -> Tensor:
    """Zeros around (N, C, H, W): (N, C, H + 2 padding, W + 2 padding), same dtype and device."""
    return F.pad(x, (padding,) * 4)


def crop_flip(padded: Tensor, index: Tensor, dy: Tensor, dx: Tensor, flip: Tensor, size: int) -> Tensor:
    """Pictures ``index`` (B,) of ``padded``, cut to (B, C, size, size) at (dy, dx), mirrored where ``flip``.

    dy, dx int64 (B,), flip bool (B,), all on the device of ``padded``. The unfolded view holds every
    window without copying one, so a batch of different crops is one gather. Given the padded mean
    picture and index 0, it cuts the mean as it cut the pictures: subtracting the two is exact.
    """
    crops = padded.unfold(2, size, 1).unfold(3, size, 1)[index, :, dy, dx]
    return torch.where(flip[:, None, None, None], crops.flip(-1), crops)


def draw_crops(n: int, padding: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """dy, dx in 0..2 padding (int64) and flip (bool) for n pictures, from a CPU generator: once per epoch."""
    dy, dx = (torch.randint(0, 2 * padding + 1, (n,), generator=generator) for _ in range(2))
    return dy, dx, torch.randint(0, 2, (n,), generator=generator).bool()
