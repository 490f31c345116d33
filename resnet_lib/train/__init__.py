"""Training: `Run`, a loop that can stop and go on anywhere; `Recipe` and `Execution` come along.

    for row in Run(nets.cifar_resnet(20), data.load("cifar10"), Recipe()):
        print(row["step"], row["train_error"], row["test_error"])
"""

from ..recipe import Execution, Recipe
from .checkpoint import read_checkpoint
from .loop import Run, evaluate

__all__ = ["Execution", "Recipe", "Run", "evaluate", "read_checkpoint"]
