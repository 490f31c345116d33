"""How far one number of a feature map sees."""

from resnet_lib.checks import Number

TEXT = """A net is a chain of six square convolutions. Their kernels are {kernels} pixels wide, in this order, and
their strides {strides}. How many pixels of the input, in one direction, does one number of the last feature map
depend on?"""

STARTER = "pixels = ..."

SOLUTION = """kernels, strides = {kernels}, {strides}
pixels, jump = 1, 1
for kernel, stride in zip(kernels, strides):
    pixels += (kernel - 1) * jump
    jump *= stride"""

ANSWER = "pixels"


def numbers(dice):
    """Six kernels and strides; no stride is wider than its kernel, else there would be gaps between the pixels."""
    return {"kernels": [dice.choice((3, 5, 7, 9)) for _ in range(6)],
            "strides": [dice.choice((1, 2, 3)) for _ in range(6)]}


def field(kernels, strides):
    """The receptive field in pixels: each kernel adds (k - 1) times the strides before it."""
    pixels, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        pixels, jump = pixels + (kernel - 1) * jump, jump * stride
    return pixels


def question(kernels, strides):
    """The number, and what people count instead."""
    late = [1, *strides[:-1]]  # each stride counted one layer too early
    jump, early = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        jump *= stride
        early += (kernel - 1) * jump
    right = field(kernels, strides)
    wrong = ((sum(k - 1 for k in kernels) + 1, "The strides matter: after 2 and 3, a step is six pixels of the input."),
             (early, "A layer's own stride does not widen what that layer sees, only what the next ones do."),
             (field(kernels, late), "Check which layer's stride is used for which kernel."))
    return Number(right, rel=1e-9, wrong=tuple((value, hint) for value, hint in wrong if value != right),
                  hint="Begin with one number of the last map and go back, layer by layer.")
