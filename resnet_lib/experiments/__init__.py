"""Experiments by name: `run` finds or trains their runs, `find` looks up what is recorded.

Declared in reference.py (the reference experiments) and studies.py (those of single chapters).
"""

from .declare import Experiment, Tier, Variant
from .lookup import EXPERIMENTS, committed_record, counted, find, get, job, jobs, run, seeds_of, trained

__all__ = ["EXPERIMENTS", "Experiment", "Tier", "Variant", "committed_record", "counted", "find", "get", "job",
           "jobs", "run", "seeds_of", "trained"]
