"""A run as one page that opens from disk: no network, no scripts, figures inside.

A section is a function of a :class:`symevo.reporting.html.subject.Subject` that gives None where it has nothing to say.
"""

from symevo.reporting.html.layout import page
from symevo.reporting.html.subject import Subject

__all__ = ["Subject", "page"]
