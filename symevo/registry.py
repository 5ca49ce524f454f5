"""Named things that users, the command line and the contract tests can find."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from inspect import isfunction
from typing import Any, Generic, TypeVar, overload

from symevo.errors import UserError

T = TypeVar("T")
Thing = TypeVar("Thing")  # what a decorator gets, it returns, of the same type


def nearest(name: str, known: list[str]) -> str:
    """The hint that closes an error about an unknown name: the nearest known one if it is close, else all of them."""
    plain = {_plain(one): one for one in reversed(known)}
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return f"did you mean {plain[close[0]]!r}?" if close else f"known: {', '.join(known)}"


def _plain(name: str) -> str:
    """What counts in a comparison: not the case, nor the dashes that all flags share."""
    return name.lower().lstrip("-").replace("_", "-")


class Registry(Generic[T]):
    """A mapping from names to things of one kind, as messages call it; names are unique and iterate in sorted order."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._adopted: set[str] = set()

    @overload
    def register(self, name: str, value: T) -> T: ...
    @overload
    def register(self, name: str) -> Callable[[Thing], Thing]: ...
    def register(self, name: str, value: Any = None) -> Any:
        """Add ``value`` under a name that is free; without a value, return a decorator that does."""
        if value is None:
            return lambda thing: self.register(name, thing)
        if name in self._items:
            raise UserError(f"{self.kind} {name!r} is registered already: choose another name")
        self._items[name] = value
        return value

    def adopt(self, given: Any) -> Any:
        """Return the name of what a caller gave; a factory or an object is registered under the name of its type.

        A later object takes the place of an earlier adopted one, but not of anything else.
        """
        if given is None or isinstance(given, str):
            return given
        made = isinstance(given, type) or isfunction(given)
        name = given.__name__ if made else type(given).__name__
        if name in self._items and name not in self._adopted:
            raise UserError(f"{self.kind} {name!r} is registered already: choose another name")
        self._adopted.add(name)
        self._items[name] = given if made else (lambda *args: given)  # type: ignore[assignment]
        return name

    def get(self, name: str) -> T:
        """The thing of a name; UserError gives the nearest one where there is none."""
        try:
            return self._items[name]
        except KeyError:
            raise UserError(f"unknown {self.kind} {name!r}: {nearest(name, list(self))}") from None

    def remove(self, name: str) -> None:
        """Take a name out again, if it is there."""
        self._items.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)
