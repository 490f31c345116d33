"""`Muon`: for kernels, the momentum made orthogonal before it becomes a step."""

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the polynomial that pulls every singular value towards 1
ROUNDS = 5


def orthogonalize(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly: singular values land between 0.6 and 1.3,
    if they begin above about a hundredth of the norm; smaller ones need more rounds.

    Five rounds of Newton and Schulz, ``X ← aX + b(XXᵀ)X + c(XXᵀ)²X``, with the coefficients of Jordan et al. 2024
    ("Muon: an optimizer for hidden layers in neural networks"); matrix: (m, n), result the same.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT  # the smaller product
    x = wide / (wide.norm() + 1e-7)  # no singular value above 1
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.mT


class Muon(torch.optim.Optimizer):
    """Muon for convolutions, SGD with Nesterov's momentum for all other weights (Jordan et al. 2024).

    A kernel (c_out, c_in, k, k) counts as a matrix of c_out rows. torch.optim.Muon is the same rule with an
    adjusted rate, but takes matrices only and computes in bfloat16, which most CPUs emulate.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, weight: Tensor, lr: float, momentum: float, decay: float) -> None:
        kernel = weight.ndim == 4
        gradient = weight.grad if kernel else weight.grad.add(weight, alpha=decay)
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"].mul_(momentum).add_(gradient)
        ahead = gradient.add(buffer, alpha=momentum)
        if kernel:
            weight.mul_(1 - lr * decay)  # decoupled: the orthogonal step does not depend on the gradient's size
            ahead = orthogonalize(ahead.flatten(1)).view_as(ahead)
        weight.add_(ahead, alpha=-lr)
