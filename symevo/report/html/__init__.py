"""A run as one page that opens from disk: no network, no scripts, figures inside.

A section is a function of a :class:`symevo.report.html.subject.Subject` that gives None where it has nothing to say.
"""

from symevo.report.html.layout import page
from symevo.report.html.subject import Subject

__all__ = ["Subject", "page"]
