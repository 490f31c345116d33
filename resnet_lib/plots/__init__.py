"""Figures: records to matplotlib Axes in one style, and figures to HTML with their provenance."""

from .drawing import (AXIS, COLORS, INK, MUTED, STYLE, axes, bare, by_variant, curves, depth, dots, finals, key, kind,
                     label_ends, layer_values, layers, percent, published, published_points, weight)
from .page import (PAGE, Shown, credit, here, show, svg)

__all__ = ["AXIS", "COLORS", "INK", "MUTED", "PAGE", "STYLE", "Shown", "axes", "bare", "by_variant", "credit",
           "curves", "depth", "dots", "finals", "here", "key", "kind", "label_ends", "layer_values", "layers",
           "percent", "published", "published_points", "show", "svg", "weight"]
