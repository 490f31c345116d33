"""The recipe's optimizer, and `Muon`: for kernels, the momentum made orthogonal before it becomes a step."""

import torch
import torch.nn as nn
from torch import Tensor

from ..recipe import Execution, Recipe

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


# --- the optimizer of a run -------------------------------------------------------------------------


def make_optimizer(net: nn.Module, recipe: Recipe, execution: Execution) -> torch.optim.Optimizer:
    """The recipe's optimizer; weights without decay, where there are any, are its second group."""
    exempt = [p for p in net.parameters() if not (recipe.decay_all or p.ndim > 1)]
    decayed = [p for p in net.parameters() if recipe.decay_all or p.ndim > 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})
    fused = execution.fused or None  # None leaves torch's choice
    if recipe.optimizer == "adam":  # in a graph, Adam's count of steps has to live on the device
        return torch.optim.Adam(groups, lr=recipe.lr, eps=recipe.adam_eps, fused=fused, capturable=execution.graphs)
    if recipe.optimizer == "muon":
        return Muon(groups, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=fused)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load a state that may come from another device: how the update is carried out stays as it is here."""
    mine = [{k: g[k] for k in ("fused", "foreach", "capturable") if k in g} for g in optimizer.param_groups]
    groups = [theirs | here for theirs, here in zip(state["param_groups"], mine, strict=True)]
    optimizer.load_state_dict(state | {"param_groups": groups})
    for weight, kept in optimizer.state.items():
        for name, value in kept.items():  # in the weight's own memory layout: fused kernels walk both side by side
            if torch.is_tensor(value) and value.shape == weight.shape:
                kept[name] = torch.empty_like(weight).copy_(value)


def keep_momentum(old: torch.optim.Optimizer, new: torch.optim.Optimizer) -> None:
    """What ``old`` knows of the weights that ``new`` has too; the momentum of weights that only ``new`` has is zero.

    So it is at SGD's beginning, without a buffer; but a fused step takes a buffer of every weight, or of none.
    """
    fresh = {p for group in new.param_groups for p in group["params"]}
    new.state.update({p: state for p, state in old.state.items() if p in fresh})
    if isinstance(new, torch.optim.SGD) and any(group["momentum"] for group in new.param_groups):
        for p in fresh - set(new.state) if new.state else ():
            new.state[p] = {"momentum_buffer": torch.zeros_like(p)}
