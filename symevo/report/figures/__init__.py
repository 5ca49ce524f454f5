"""Figures from plain sequences, as PNG and SVG; the same data gives the same bytes. What a run is, they do not know.

Each draws into a folder, which is made where there is none, and returns its files; one that cannot be written is a
:class:`symevo.errors.UserError`.
"""

from symevo.report.figures.curves import curves
from symevo.report.figures.forests import forest
from symevo.report.figures.lines import by_generation, by_step, shares
from symevo.report.figures.panels import scatter_numbers, schedule_steps
from symevo.report.figures.profiles import profile

__all__ = ["by_generation", "by_step", "curves", "forest", "profile", "scatter_numbers", "schedule_steps", "shares"]
