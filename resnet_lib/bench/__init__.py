"""The benchmark: ours against its peers and against the device. Its figure is `bench.charts`, which loads matplotlib:
not in the processes that are measured."""

from .baselines import Loop
from .command import BenchError, load, main, main_arguments, measure, read, record, root, table, write

__all__ = ["BenchError", "Loop", "load", "main", "main_arguments", "measure", "read", "record", "root", "table",
           "write"]
