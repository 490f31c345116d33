"""`Recipe`: what is trained, all that changes the result. `Execution`: how, which does not."""

from dataclasses import asdict, dataclass
import math

import torch

from .machine import has_compiler, native_bf16
from .wording import advice

OPTIMIZERS = ("sgd", "adam", "muon")
NORMALIZE = ("pixel_mean", "unit", "symmetric", "raw", "channel", "imagenet")
INITS = ("he", "he_fan_out", "he_truncated", "xavier", "xavier_weights", "torch", "keep")
AUGMENT = ("none", "flip", "crop_flip")
SCHEDULES = ("steps", "linear")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16")
BF16_CAPABILITY = 8  # the first CUDA capability with bf16 arithmetic


def modern_gpu() -> bool:
    """Whether the GPU computes in bf16 and TF32; there has to be one."""
    return torch.cuda.get_device_capability()[0] >= BF16_CAPABILITY


@dataclass(frozen=True)
class Recipe:
    """All that changes the result of a run. The defaults are He15 §4.2 for CIFAR-10."""

    steps: int = 64_000
    batch: int = 128
    optimizer: str = "sgd"  # "sgd", "adam" or "muon" (`train.optim.Muon`)
    lr: float = 0.1
    schedule: str = "steps"  # lr with its drops; "linear": up to lr over warmup_steps, then straight down to 0
    momentum: float = 0.9  # SGD and Muon
    adam_eps: float = 1e-8  # Adam only
    adam_late_eps: bool = False  # Keras' way: ε is added before the root is corrected, and counts for more at first
    weight_decay: float = 1e-4
    decay_all: bool = True  # also on biases and batch norm; the paper states no exemption
    fixed_norm: bool = False  # after each step every convolution's weights get back the norm they began with
    drops: tuple[int, ...] = (32_000, 48_000)  # steps at which lr is multiplied by drop_factor
    drop_factor: float = 0.1
    warmup_steps: int = 0  # the first steps run at warmup_lr (schedule "steps")
    warmup_lr: float = 0.01
    augment: str = "crop_flip"  # "none", "flip" (half of the pictures mirrored), or pad 4 + random crop + flip
    # subtract the mean picture; "unit": [0, 1]; "symmetric": [-1, 1]; "raw": 0 to 255; each channel less its mean and
    # divided by its standard deviation: "channel", those of the training set, "imagenet", those of ImageNet
    normalize: str = "pixel_mean"
    shuffle: bool = True
    validation: float = 0.0  # this fraction, from the end of the training set, is not trained on
    init: str = "he"  # see `nets.init_weights`; "keep": the weights that the net came with
    seed: int = 0
    eval_every: int = 500  # a row is made every so many steps, and at the end
    deepen_to: int = 0  # the depth the net grows to, keeping its function (`deepen`); 0: it does not
    deepen_at: int = 0  # after how many steps
    mirrored: bool = False  # a row also tells how the test comes out if each picture is judged with its mirror image
    probe_steps: tuple[int, ...] = ()  # steps at which probes.layer_norms is measured

    def __post_init__(self):
        for name, valid in (("optimizer", OPTIMIZERS), ("normalize", NORMALIZE), ("augment", AUGMENT),
                            ("init", INITS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} must be one of {', '.join(valid)}, got {getattr(self, name)!r}")
        for name, least in (("steps", 1), ("batch", 1), ("eval_every", 1), ("warmup_steps", 0), ("seed", 0),
                            ("deepen_to", 0), ("deepen_at", 0)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {getattr(self, name)!r}")
        for name in ("lr", "warmup_lr", "drop_factor", "adam_eps"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a positive number, got {getattr(self, name)!r}")
        for name in ("momentum", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)!r}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay!r}")
        for name in ("drops", "probe_steps"):  # lists come back from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.adam_late_eps and self.optimizer != "adam":
            raise ValueError(f"adam_late_eps is for optimizer 'adam', got {self.optimizer!r}; set adam_late_eps=False")
        if self.schedule == "linear" and self.drops:
            raise ValueError(f"a linear schedule has no drops, got {self.drops}; set drops=()")
        if self.schedule == "linear" and self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps must be below steps where the rate has to fall again, got "
                             f"{self.warmup_steps} of {self.steps}")

    def to_json(self) -> dict:
        """The fields as JSON holds them: lists instead of tuples."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def lr_at(self, step: int) -> float:
        """The learning rate of the update that follows ``step`` finished ones."""
        if self.schedule == "linear":
            left = (self.steps - step) / (self.steps - self.warmup_steps)
            return self.lr * min((step + 1) / max(self.warmup_steps, 1), left)
        if step < self.warmup_steps:
            return self.warmup_lr
        return self.lr * self.drop_factor ** sum(step >= drop for drop in self.drops)


@dataclass(frozen=True)
class Execution:
    """How a run is carried out. Recorded, but not part of a run's id.

    The update rule is the same in each of these ways; rounding is not. test_update.py compares one
    step from the same state, and for bf16 and graphs the outcome of paired runs.
    """

    device: str = "auto"  # "auto", "cpu" or "cuda"
    precision: str = "float32"  # "tf32": CUDA; "bf16": autocast, weights stay float32; evaluation is always float32
    channels_last: bool = True
    fused: bool = False  # one optimizer kernel for all weights
    compile: bool = False  # torch.compile; needs a C++ compiler
    graphs: bool = False  # the step as a CUDA graph, one per batch size and learning rate
    autotune: bool = False  # cuDNN times its algorithms and takes the fastest (CUDA)
    interleave: int = 1  # runs trained in turn by one process, on a GPU each on its own stream
    threads: int | None = None  # CPU threads for one run; None leaves torch's choice
    workers: int = 1  # runs trained at the same time, in processes (CPU only); 0: one per core
    checkpoint_every: float = 60.0  # seconds between checkpoints; each row makes one too, on a GPU if 5 s have passed

    @classmethod
    def fastest(cls, device: str = "auto") -> "Execution":
        """The fastest way for runs of minutes and more that this machine has: what ``bench`` found.

        On a CPU: a run a core wastes less than a run on all cores; bf16 where the processor computes in it
        (elsewhere it is emulated and slow); compiled where there is a compiler, which takes a minute before
        the first step.
        """
        if cls(device=device).resolve().type == "cpu":
            return cls(device="cpu", threads=1, workers=0, precision="bf16" if native_bf16() else "float32",
                       compile=has_compiler())
        modern = modern_gpu()
        # without bf16 units (a T4, say) float32 is slower in channels_last: pytorch#50036, #44943
        return cls(device="cuda", precision="bf16" if modern else "float32", channels_last=modern, fused=True,
                   graphs=True, autotune=True, interleave=4)

    def resolve(self) -> torch.device:
        """The device, or ValueError with the way out where this execution is not possible here."""
        for name, valid in (("device", DEVICES), ("precision", PRECISIONS)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} must be one of {', '.join(valid)}, got {getattr(self, name)!r}")
        for name, least in (("interleave", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.compile and torch._dynamo.config.disable:
            raise ValueError("compile asked for, but torch.compile is switched off in this process; unset "
                             "TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE, or leave it out")
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            way = advice("--device cpu or auto", "device 'cpu' or 'auto'")
            raise ValueError(f"device 'cuda' asked for, but torch finds no CUDA GPU here; use {way}")
        device = torch.device("cuda" if self.device != "cpu" and there else "cpu")
        if device.type == "cpu":
            wanted = {"graphs": self.graphs, "autotune": self.autotune, "precision tf32": self.precision == "tf32"}
            for name in (n for n, w in wanted.items() if w):
                raise ValueError(f"{name} needs a CUDA GPU, and this run is on the CPU; leave it out")
        elif self.precision == "bf16" and not modern_gpu():
            way = advice("--precision float32", "precision 'float32'")
            raise ValueError(f"precision bf16 needs a GPU of CUDA capability {BF16_CAPABILITY}.0 or more: "
                             f"{torch.cuda.get_device_name()} would emulate it and crawl; use {way}")
        return device
