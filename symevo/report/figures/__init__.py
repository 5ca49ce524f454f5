"""Figures from plain sequences, as PNG and SVG; the same data gives the same bytes. What a run is, they do not know."""

from symevo.report.figures.grouped import bars
from symevo.report.figures.lines import by_generation, by_step, shares
from symevo.report.figures.panels import scatter_numbers, schedule_steps

__all__ = ["bars", "by_generation", "by_step", "scatter_numbers", "schedule_steps", "shares"]
