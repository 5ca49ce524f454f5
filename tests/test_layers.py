"""Imports point down only, siblings leave each other alone, and the command line starts without torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import symevo

ROOT = Path(symevo.__file__).parent
ORDER = (
    "about",
    "errors", "seeds", "registry", "statistics", "files", "native", "rules", "evograd", "engines", "tasks", "settings",
    "training", "genomes", "search", "reporting", "runs", "systems", "evolution", "comparison", "cli", "run",
    "__main__",
)  # fmt: skip
RANKS = {name: rank for rank, name in enumerate(ORDER)}
"""Parts of the package by height: one imports itself and what is lower; ``symevo`` itself is open to all."""

LIGHT = ("search", "genomes", "engines", "settings", "cli", "reporting", "runs")
FORBIDDEN = [
    *((part, "torch") for part in LIGHT),
    *(("statistics", library) for library in ("numpy", "scipy")),
    *((part, "sympy") for part in ("settings", "cli", "reporting")),
    ("rules", "deap"),
    ("tasks", "deap"),
    ("training", "deap"),
]


@dataclass(frozen=True)
class Import:
    """One import: by which module, of which, and whether it happens when the importer is loaded."""

    by: str
    of: str
    loads: bool


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(body: list[ast.stmt], *, loads: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, loads
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(node)
        for name in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, name, []), loads=loads and not (inside and name == "body"))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body, loads=loads)


def imports_of(path: Path) -> Iterator[Import]:
    by = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for node, loads in statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            yield from (Import(by, alias.name, loads) for alias in node.names)
        else:
            assert node.level == 0, f"{by}: write imports in full"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Import(by, full if full in MODULES else node.module, loads)


def part(module: str) -> str:
    """``symevo.rules.program`` → ``rules``."""
    return module.split(".")[1] if "." in module else ""


MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
}
IMPORTS = [one for path in sorted(ROOT.rglob("*.py")) for one in imports_of(path)]
OWN = [one for one in IMPORTS if one.of.split(".")[0] == "symevo"]


def test_every_part_has_a_height() -> None:
    assert {part(module) for module in MODULES} - {""} == set(RANKS)


def test_imports_point_down_and_siblings_leave_each_other_alone() -> None:
    wrong = [
        f"{one.by} imports {one.of}"
        for one in OWN
        if part(one.by) and part(one.of) and part(one.by) != part(one.of)
        if RANKS[part(one.by)] <= RANKS[part(one.of)]
    ]
    assert wrong == []


def test_the_package_itself_loads_what_loads_nothing() -> None:
    assert {one.of for one in OWN if one.by == "symevo" and one.loads} == {"symevo.about"}
    assert [one.of for one in OWN if one.by == "symevo.about"] == []


@pytest.mark.parametrize(("name", "library"), FORBIDDEN)
def test_libraries_that_a_part_does_not_load(name: str, library: str) -> None:
    wrong = [one.by for one in IMPORTS if part(one.by) == name and one.loads and one.of.split(".")[0] == library]
    assert wrong == []


def test_light_parts_load_no_heavy_part() -> None:
    """Torch must not come in by a detour either; a module brings the packages that it lies in."""
    heavy = {one.by for one in IMPORTS if one.loads and one.of.split(".")[0] == "torch"}
    while more := {one.by for one in OWN if one.loads and with_packages(one.of) & heavy} - heavy:
        heavy |= more
    assert sorted(module for module in heavy if part(module) in LIGHT) == []


def with_packages(module: str) -> set[str]:
    names = module.split(".")
    return {".".join(names[:count]) for count in range(1, len(names) + 1)}


def test_no_cycle_of_any_import() -> None:
    """Imports inside functions and under TYPE_CHECKING count too; the package itself offers what is below it."""
    assert on_a_circle(one for one in OWN if one.by != "symevo") == []


def test_no_part_imports_the_package_itself() -> None:
    assert [one.by for one in OWN if part(one.by) and one.of == "symevo"] == []


def on_a_circle(imports: Iterable[Import]) -> list[str]:
    """Modules on a circle, or above one."""
    edges: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in imports:
        if one.of != one.by:
            edges[one.by].add(one.of)
    while ready := [module for module, needs in edges.items() if not needs & edges.keys()]:
        for module in ready:
            del edges[module]
    return sorted(edges)
