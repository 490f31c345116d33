"""The loops that ours is measured against: the plain PyTorch loop, plain or tuned, and d2l's own Trainer.

`Loop` is written as a careful person writes it who has read PyTorch's tutorials and not this book: a Dataset
of pictures, torchvision transforms of one picture at a time, a DataLoader with worker processes. A peer has
``step()``, ``run(steps)``, ``use_workers(n)`` and ``close()``.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from ..data import ImageSet
from ..nets import init_weights
from ..recipe import Execution, Recipe
from ..timing import repeat, stretch

SLOW_STEP = 2.0  # seconds; where a step takes longer, the loader hides behind it and is not searched


class OneByOne(Dataset):
    """Training pictures as torchvision's data sets keep them, (N, H, W, C) bytes, turned into PIL one by one."""

    def __init__(self, images: ImageSet, transform):
        self.pictures = images.train_x.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self.labels, self.transform = images.train_y.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int):
        from PIL import Image

        return self.transform(Image.fromarray(self.pictures[k])), self.labels[k]


def transform(images: ImageSet, recipe: Recipe):
    """The recipe's augmentation and normalization in torchvision's words.

    "unit" and "symmetric" are what ours computes. For "pixel_mean" people subtract a mean per channel and
    divide by a deviation per channel, and so does this: the same work for other numbers.
    """
    from torchvision import transforms as T

    channels, size = images.train_x.shape[1], images.train_x.shape[-1]
    steps = [T.RandomCrop(size, padding=4), T.RandomHorizontalFlip()] if recipe.augment == "crop_flip" else []
    steps.append(T.ToTensor())
    if recipe.normalize == "symmetric":
        steps.append(T.Normalize([0.5] * channels, [0.5] * channels))
    elif recipe.normalize == "pixel_mean":
        some = images.train_x[:1000].float() / 255
        steps.append(T.Normalize(some.mean((0, 2, 3)).tolist(), some.std((0, 2, 3)).tolist()))
    return T.Compose(steps)


def endless(loader: DataLoader) -> Iterator:
    """Batch after batch, epoch after epoch."""
    while True:
        yield from loader


class Loop:
    """A plain PyTorch training loop with SGD. By default as the tutorials have it: NCHW, float32, eager.

    Of ``execution`` it follows device, channels_last, precision ("bf16": autocast), compile and autotune, so
    the strong peer is the same loop with all of them. TF32 is left as torch has it (on, in convolutions).
    """

    def __init__(self, net: nn.Module, images: ImageSet, recipe: Recipe, execution: Execution | None = None,
                 workers: int = 0):
        if recipe.optimizer != "sgd":
            raise ValueError(f"the plain loop is written for optimizer 'sgd', got {recipe.optimizer!r}")
        self.recipe, self.execution = recipe, execution or Execution(channels_last=False)
        self.device = self.execution.resolve()
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = self.execution.autotune
        init_weights(net, recipe.init, torch.Generator().manual_seed(recipe.seed))
        self.format = torch.channels_last if self.execution.channels_last else torch.contiguous_format
        self.net = net.to(self.device, memory_format=self.format)
        self.model = torch.compile(self.net) if self.execution.compile else self.net
        self.optimizer = torch.optim.SGD(net.parameters(), lr=recipe.lr, momentum=recipe.momentum,
                                         weight_decay=recipe.weight_decay)
        self.dataset = OneByOne(images, transform(images, recipe))
        self.at, self.loss = 0, float("nan")
        self.use_workers(workers)

    def use_workers(self, workers: int) -> None:
        """Load with so many processes from now on (0: in this one)."""
        self.close()
        torch.manual_seed(self.recipe.seed)
        self.workers = workers
        self.loader = DataLoader(self.dataset, self.recipe.batch, shuffle=self.recipe.shuffle, num_workers=workers,
                                 persistent_workers=workers > 0, pin_memory=self.device.type == "cuda")
        self.batches = endless(self.loader)

    def step(self) -> None:
        """One update; ``.loss`` is its loss, read from the device each time, as people do."""
        x, y = next(self.batches)
        x = x.to(self.device, non_blocking=True, memory_format=self.format)
        y = y.to(self.device, non_blocking=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr_at(self.at)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.execution.precision == "bf16"):
            loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.loss = loss.item()
        self.at += 1

    def run(self, steps: int) -> None:
        """So many steps."""
        repeat(self.step, steps)

    def close(self) -> None:
        """End the loader's processes."""
        self.batches = self.loader = None


class D2L:
    """ResNet-18 of *Dive into Deep Learning*, trained by d2l's own `Trainer.fit_epoch`, on our pictures.

    ``images`` are the originals: d2l resizes each picture to ``size`` when it is loaded. The board that
    would draw curves while training is off. ModuleNotFoundError where d2l is not installed.
    """

    def __init__(self, images: ImageSet, recipe: Recipe, size: int, device: torch.device):
        from d2l import torch as d2l
        from torchvision import transforms as T

        dataset = OneByOne(images, T.Compose([T.Resize((size, size)), T.ToTensor()]))

        class Data(d2l.DataModule):
            def get_dataloader(self, train):
                if not train:
                    return None  # fit_epoch then trains only
                return DataLoader(dataset, recipe.batch, shuffle=True, num_workers=self.num_workers)

        self.data, self.device = Data, device
        self.trainer = d2l.Trainer(max_epochs=1, num_gpus=int(device.type == "cuda"))
        model = d2l_classifier(len(images.classes), recipe.lr)
        model.board.display = False
        model.apply_init([torch.stack([dataset[0][0], dataset[1][0]])], d2l.init_cnn)  # Xavier
        self.trainer.prepare_model(model)
        self.trainer.optim = model.configure_optimizers()
        self.trainer.train_batch_idx = 0
        self.use_workers(0)

    def use_workers(self, workers: int) -> None:
        """Load with so many processes from now on (0: in this one)."""
        self.close()
        self.workers = workers
        self.trainer.prepare_data(self.data(num_workers=workers))
        self.batches = endless(self.trainer.train_dataloader)

    def run(self, steps: int) -> None:
        """So many steps of d2l's fit_epoch."""
        self.trainer.train_dataloader = islice(self.batches, steps)
        self.trainer.fit_epoch()

    def step(self) -> None:
        """One update."""
        self.run(1)

    def close(self) -> None:
        """End the loader's processes."""
        self.batches = self.trainer.train_dataloader = None


def d2l_classifier(num_classes: int, lr: float) -> nn.Module:
    """ResNet-18 as d2l's chapter on residual networks builds it, from d2l's own blocks, as a d2l.Classifier."""
    from d2l import torch as d2l

    layers = [nn.LazyConv2d(64, 7, stride=2, padding=3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for k, width in enumerate((64, 128, 256, 512)):
        first = d2l.Residual(width) if k == 0 else d2l.Residual(width, use_1x1conv=True, strides=2)
        layers += [first, d2l.Residual(width)]
    layers += [nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(num_classes)]

    class ResNet18(d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net = lr, nn.Sequential(*layers)

    return ResNet18()


def choose_workers(peer: Loop | D2L, candidates: Sequence[int], steps: int = 4) -> int:
    """Try the loader with each number of processes and keep the fastest; the number.

    Fresh processes first load what is thrown at them at once, and a full queue is not their speed: a few
    uncounted steps precede each count, and the end. Where a step takes more than `SLOW_STEP` seconds the
    largest number is kept untried.
    """
    slow = stretch(peer.step, 1, peer.device) > SLOW_STEP
    seconds = {}
    for workers in candidates[-1:] if slow else candidates:
        peer.use_workers(workers)
        peer.run(1 if slow else 2 * workers + 1)
        # batches come in bursts of one from each process: two bursts at least
        seconds[workers] = stretch(peer.step, 1 if slow else max(steps, 2 * workers), peer.device)
    best = min(seconds, key=seconds.get)
    if best != peer.workers:
        peer.use_workers(best)
        peer.run(2 * best + 1)
    return best
