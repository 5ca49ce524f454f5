"""Figures from plain sequences, as PNG and SVG; the same data gives the same bytes. What a run is, they do not know.

Each takes the folder and the name of its files first; see :func:`symevo.reporting.figures.sheet.drawing`.
"""

from symevo.reporting.figures.comparison import forest, profile
from symevo.reporting.figures.lines import by_generation, by_step, curves, shares
from symevo.reporting.figures.points import scatter_numbers, schedule_steps

__all__ = ["by_generation", "by_step", "curves", "forest", "profile", "scatter_numbers", "schedule_steps", "shares"]
