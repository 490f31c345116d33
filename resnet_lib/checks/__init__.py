"""Check an answer to an exercise: ``check("residual-block-3", answer)``, and the types of questions it may ask."""

from .answers import as_number, difference
from .kinds import Class, Function, Module, Number, Question, Tensor
from .questions import Verdict, check, find, hold

__all__ = ["Class", "Function", "Module", "Number", "Question", "Tensor", "Verdict", "as_number", "check",
           "difference", "find", "hold"]
