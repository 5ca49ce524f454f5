"""Size and imports of the package: prints one JSON object.

    python paper/benchmarks/house.py [CHECKOUT]

``files`` and ``lines`` count Python files under ``symevo/``. Imports count wherever they stand, inside functions and
under ``TYPE_CHECKING`` too. ``one importer`` lists modules that exactly one other module imports, with that module.
``circles`` lists modules that import each other, directly or by way of others. ``upward`` lists imports of a part that
stands as high as the importer's or higher, by ``ORDER`` in ``tests/test_layers.py``.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Imports = Mapping[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """The package's modules by their dotted names."""
    paths = sorted((root / "symevo").rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(known: Mapping[str, Path]) -> dict[str, set[str]]:
    """For each module those that it imports."""
    found = {}
    for name, path in known.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= (full & known.keys()) | ({node.module} if full - known.keys() else set())
        found[name] = (named & known.keys()) - {name}
    return found


def circles(edges: Imports) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reached = {name: _reached(name, edges) for name in edges}
    groups = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in edges}
    return sorted(list(group) for group in groups if group)


def _reached(name: str, edges: Imports) -> set[str]:
    found, waiting = set[str](), [name]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def upward(edges: Imports, order: Iterable[str]) -> list[str]:
    """Imports of another part that is not below the importer's."""
    ranks = {part: rank for rank, part in enumerate(order)}
    pairs = [(by, of) for by in sorted(edges) for of in sorted(edges[by])]
    return [f"{by} imports {of}" for by, of in pairs if (a := _part(by)) != (b := _part(of)) and ranks[a] <= ranks[b]]


def _part(module: str) -> str:
    """``symevo.rules.program`` → ``rules``; the package itself belongs to the highest, and all may import it."""
    return module.split(".")[1] if "." in module else "errors"


def order(root: Path) -> tuple[str, ...]:
    """The parts of the package, lowest first, as the tests have them."""
    for node in ast.parse((root / "tests" / "test_layers.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            return ast.literal_eval(node.value)
    raise LookupError("tests/test_layers.py has no ORDER")


def figures(root: Path) -> dict[str, Any]:
    """All figures of a checkout."""
    known = modules(root)
    edges = imports(known)
    importers = {name: sorted(by for by, of in edges.items() if name in of) for name in known}
    alone = {name: by[0] for name, by in importers.items() if len(by) == 1}
    return {
        "files": len(known),
        "lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in known.values()),
        "modules with one importer": len(alone),
        "circles": circles(edges),
        "upward": upward(edges, order(root)),
        "one importer": alone,
    }


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    print(json.dumps(figures(root), indent=1))


if __name__ == "__main__":
    main()
