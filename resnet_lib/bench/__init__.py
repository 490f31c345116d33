"""The benchmark: ours against its peers and against the device. Its figure is `bench.charts`, which loads matplotlib:
not in the processes that are measured."""

from ..timing import Conv, Roofline, Timing, compare, convolutions, interleave, ratio, roofline, seconds_of, stretch
from .baselines import Loop
from .command import BenchError, load, main, main_arguments, measure, read, record, root, table, write

__all__ = ["BenchError", "Conv", "Loop", "Roofline", "Timing", "compare", "convolutions", "interleave", "load",
           "main", "main_arguments", "measure", "ratio", "read", "record", "root", "roofline", "seconds_of", "stretch",
           "table", "write"]
