"""Code that stands in the package twice: prints pairs of runs of six or more like lines.

    python paper/benchmarks/duplicates.py [--lines 6] [--names]

Two lines are alike if they are equal but for indentation; with ``--names`` also if only names and literals differ.
Blank lines, comments, docstrings, imports and declarations (``name: type``) do not count. The longest pairs come first.
"""

from __future__ import annotations

import argparse
import ast
import io
import keyword
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUNCTUATION = re.compile(r"\W*")
Line = tuple[int, str]


def lines(path: Path, *, names: bool) -> list[Line]:
    """Number and text of each line that counts."""
    source = path.read_text(encoding="utf-8")
    left_out = {number for node in ast.walk(ast.parse(source)) for number in _left_out(node)}
    found: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            kept = token.type == tokenize.OP or keyword.iskeyword(token.string) or not names
            found[token.start[0]].append(token.string if kept else "_")
    texts = ((number, " ".join(found[number])) for number in sorted(found.keys() - left_out))
    return [(number, text) for number, text in texts if not PUNCTUATION.fullmatch(text)]


def _left_out(node: ast.AST) -> range:
    """Lines of a docstring, an import or a declaration."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.stmt) and (text or isinstance(node, ast.Import | ast.ImportFrom | ast.AnnAssign)):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)


def pairs(files: dict[str, list[Line]], least: int) -> Iterator[tuple[int, str, str]]:
    """Length and the two places of every pair of runs that cannot be made longer."""
    places = defaultdict(list)
    for name, known in files.items():
        for at in range(len(known) - least + 1):
            places[tuple(text for _, text in known[at : at + least])].append((name, at))
    starts = {(a, b) for same in places.values() for a in same for b in same if a < b}
    for a, b in starts:
        if ((a[0], a[1] - 1), (b[0], b[1] - 1)) in starts:
            continue
        more = 0
        while ((a[0], a[1] + more + 1), (b[0], b[1] + more + 1)) in starts:
            more += 1
        if a[0] != b[0] or a[1] + least + more <= b[1]:
            yield least + more, *(f"{name}:{files[name][at][0]}" for name, at in (a, b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=6)
    parser.add_argument("--names", action="store_true", help="names and literals may differ")
    args = parser.parse_args()
    paths = sorted((ROOT / "symevo").rglob("*.py"))
    files = {str(path.relative_to(ROOT)): lines(path, names=args.names) for path in paths}
    found = sorted(pairs(files, args.lines), reverse=True)
    print(*(f"{count:3} lines  {first}  {second}" for count, first, second in found), sep="\n")
    print(f"{len(found)} pairs")


if __name__ == "__main__":
    main()
