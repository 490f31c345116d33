"""A shortcut without weights, with an offset and channels on both sides."""

import torch

from resnet_lib.checks import Function, difference

TEXT = """A block has stride {stride} and makes {new} channels more. Its shortcut has no weights. It keeps rows and
columns {offset}, {offset} + {stride}, {offset} + 2 · {stride}, … (counted from 0), puts {front} channels of zeros in
front of those of its input, and the other {back} behind them. Write it as a function of `x` with shape (N, C, H, W)."""

STARTER = "def shortcut(x):\n    ..."

SOLUTION = """import torch.nn.functional as F

def shortcut(x):
    kept = x[:, :, {offset}::{stride}, {offset}::{stride}]
    return F.pad(kept, (0, 0, 0, 0, {front}, {back}))"""

ANSWER = "shortcut"


def numbers(dice):
    """Stride, offset, and how many channels of zeros stand in front and behind."""
    stride = dice.choice((2, 3, 4))
    front, back = dice.randint(1, 60), dice.randint(1, 60)
    return {"stride": stride, "offset": dice.randrange(stride), "front": front, "back": back, "new": front + back}


def question(stride, offset, front, back, new):
    """Against a plain loop over pixels."""

    def looped(x, front=front, offset=offset):
        rows, columns = range(offset, x.shape[2], stride), range(offset, x.shape[3], stride)
        out = torch.zeros(len(x), x.shape[1] + new, len(rows), len(columns))
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                out[:, front:front + x.shape[1], i, j] = x[:, :, row, column]
        return out

    def test(f):
        x = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
        got = f(x.clone())
        problem = difference(got, looped(x))
        if problem is None:
            return None
        for words, value in (("The zeros stand on the wrong side.", looped(x, front=back)),
                             ("Look again at which pixel is the first that is kept.", looped(x, offset=0))):
            if difference(got, value) is None:
                return words
        return problem

    return Function(test, hint="First choose the pixels, then add the channels.")
