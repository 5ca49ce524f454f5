"""A run as one page that opens from disk: no network, no scripts, figures inside.

A section is a function of a :class:`symevo.reporting.html.parts.PageContext` that gives None where it has nothing to
say; its parts are data, which ``page.html`` renders.
"""

from symevo.reporting.html.layout import page
from symevo.reporting.html.parts import PageContext

__all__ = ["PageContext", "page"]
