"""Figures from plain sequences, as PNG and SVG; the same data gives the same bytes. What a run is, they do not know.

Each draws into a folder, which is made where there is none, and returns its files; one that cannot be written is a
:class:`symevo.errors.UserError`.
"""

from symevo.reporting.figures.comparison import forest, profile
from symevo.reporting.figures.lines import by_generation, by_step, curves, shares
from symevo.reporting.figures.points import scatter_numbers, schedule_steps

__all__ = ["by_generation", "by_step", "curves", "forest", "profile", "scatter_numbers", "schedule_steps", "shares"]
