"""Figures that a reader can turn: `frames` and the table behind them; `widgets.predict` and `widgets.explore`."""

from .player import frames, table

__all__ = ["frames", "table"]
