"""A primitive of the user's own: a few lines that are checked, and are a form of the grammar at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sympy
import test_primitives as contract
import torch

import symevo
from symevo.files import collecting
from symevo.genomes.expression.genome import Expression
from symevo.genomes.expression.grammar import _FORMULAS, _WORDS, all_forms
from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.backends.interpreter import Interpreter
from symevo.rules.classic import CLASSICS
from symevo.rules.custom_primitives import FORMS, SESSION, _name_of
from symevo.rules.expression import Name, Op, names_in
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.printing.symbolic import from_sympy
from symevo.rules.program import Program


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    before = set(PRIMITIVES)
    yield
    for name in set(PRIMITIVES) - before:
        PRIMITIVES.remove(name)
        SESSION.discard(name)


def softsign(x: Any) -> Any:
    return x / (1 + abs(x))


def test_a_primitive_in_two_lines_passes_the_contract_and_is_a_form_at_once():
    assert symevo.primitive(softsign) is softsign
    assert {"softsign"} == SESSION
    with collecting() as made:  # a file that other processes can import makes it too
        symevo.primitive(softsign)
    assert [one.name for one in made] == ["softsign"]
    assert not SESSION
    for signs in ("positive", "mixed"):
        contract.test_all_forms_agree("softsign", signs)
    for test in (
        contract.test_nan_goes_through,
        contract.test_declared_properties_hold,
        contract.test_text_and_sympy_round_trip,
        contract.test_a_total_primitive_is_finite_on_extremes,
        contract.test_the_interpreters_loop_agrees,
    ):
        test("softsign")
    genome = Expression(primitives=["softsign", "ema"])  # type: ignore[call-arg]  # registering hides its type
    random.seed(1)
    found = [genome.create() for _ in range(20)]
    assert any(node.name == "softsign" for one in found for node in one)
    assert "softsign(g)" in str(symevo.rule("theta = theta - lr*softsign(g)", lr=0.1).program.text)


def test_every_column_may_be_given():
    @symevo.primitive(
        numpy=lambda x, y: np.hypot(x, y),
        sympy=lambda x, y: sympy.sqrt(x**2 + y**2),
        scalar=lambda x, y: np.sqrt(x * x + y * y),
        reads="sqrt(x**2 + y**2)",
        cost=6,
        commutative=True,
        total=False,
    )
    def length(x: Any, y: Any) -> Any:
        return torch.hypot(x, y)

    assert PRIMITIVES.get("length").cost == 6
    assert "length" not in all_forms()
    assert "√(g" in symevo.rule("theta = theta - lr*length(g, theta)", lr=0.1).unicode()
    contract.test_what_a_primitive_reads_as_is_what_it_computes("length")


def test_a_function_that_sympy_knows_by_another_name():
    @symevo.primitive(numpy=np.arctan, sympy="atan")
    def arctan(x: Any) -> Any:
        return torch.atan(x)

    contract.test_text_and_sympy_round_trip("arctan")
    assert "arctan(g" in symevo.rule("theta = theta - lr*arctan(g)", lr=0.1).unicode(simplified=True)


def test_the_same_code_may_be_registered_again_and_other_code_not():
    def again() -> None:
        @symevo.primitive
        def softsign(x: Any) -> Any:
            return x / (1 + abs(x))

    again()
    again()
    with pytest.raises(symevo.UserError, match="'softsign' is registered already"):

        @symevo.primitive(cost=9)
        def softsign(x: Any) -> Any:
            return x / (1 + abs(x))


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "arity": (lambda *x: x[0], {}, r"takes \(\*x\): give it 1 to 3 plain arguments"),
    "too many": (lambda x, y, z, u: x, {}, "give it 1 to 3 plain arguments"),
    "numpy fails": (lambda x: x.abs(), {}, r"its numpy form fails \(AttributeError.*give numpy="),
    "torch fails": (lambda x: x.nothing, {"numpy": np.tanh}, "its torch form fails"),
    "they differ": (lambda x: x + x, {"numpy": lambda x: 3 * x}, "torch gives .* and numpy .*mend numpy="),
    "a number": (lambda x: 1.0, {}, "makes shape \\(\\) of .*element-wise"),
    "a sum": (lambda x: x + x.sum(), {}, "on all of them .*make it element-wise"),
    "shape": (lambda x: x[:1], {}, "element-wise"),
    "single precision": (lambda x: x.float(), {"numpy": lambda x: x}, "torch.float32 of torch.float64"),
    "random": (
        lambda x: x * (1 + 1e-14 * torch.rand_like(x)),
        {"numpy": lambda x: x, "sympy": lambda x: x},
        "another value each time",
    ),
    "in place": (lambda x: x.mul_(2), {"numpy": lambda x: 2 * x}, "changes its arguments"),
    "sympy differs": (lambda x: x + x, {"sympy": lambda x: 3 * x}, "sympy gives .*mend sympy="),
    "sympy fails": (lambda x: torch.tanh(x), {"numpy": np.tanh}, "its sympy form fails .*give sympy="),
    "sympy lacks it": (lambda x: x, {"sympy": "nothing"}, "sympy has no function 'nothing'"),
    "sympy unknown": (
        lambda x: torch.atan(x),
        {"numpy": np.arctan, "sympy": lambda x: sympy.atan(x)},
        "cannot be printed .*give the name of one sympy function",
    ),
    "a pole": (lambda x: 1 / x, {}, "gives inf at x = 0: .*protect it.*total=False"),
    "a pole in float32": (lambda x: x / (abs(x) + 1e-60), {}, "in float32"),
    "NaN": (
        lambda x: torch.nan_to_num(x),
        {"numpy": np.nan_to_num, "sympy": lambda x: x},
        "makes 0 of NaN.*let NaN through",
    ),
    "not commutative": (lambda x, y: x - y, {"commutative": True}, "leave commutative out"),
    "commutative alone": (lambda x: x, {"commutative": True}, "commutative is for two arguments"),
    "cost": (lambda x: x, {"cost": -1}, "cost is a positive number"),
    "reads": (lambda x: x, {"reads": "2*x"}, "what it reads as gives"),
    "reads badly": (lambda x: x, {"reads": "2*q"}, "write it in x, y and z"),
    "numba": (lambda x: x, {"scalar": lambda x: vars(x)}, "numba cannot compile .*give scalar="),
    "scalar": (lambda x: x, {"scalar": lambda x: 2 * x}, "mend scalar="),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_primitive_is_refused_with_what_would_be_right(case: str):
    function, columns, words = BAD[case]
    function.__name__ = "mine"
    before = list(PRIMITIVES)
    with pytest.raises(symevo.UserError, match=f"primitive 'mine'.*{words}") as caught:
        symevo.primitive(**columns)(function)
    assert "\n" not in str(caught.value)
    assert list(PRIMITIVES) == before


def named_mine(function: Any) -> Any:
    function.__name__ = "mine"
    return function


def test_nothing_is_left_of_a_primitive_that_was_refused_when_it_comes_mended():
    with pytest.raises(symevo.UserError, match="mend scalar="):
        symevo.primitive(sympy="tanh", numpy=np.tanh, scalar=lambda x: 2 * x)(named_mine(lambda x: torch.tanh(x)))
    with pytest.raises(symevo.UserError, match="on single numbers"):
        symevo.primitive(scalar=lambda x: 2 * x)(named_mine(lambda x: x))
    symevo.primitive(scalar=lambda x: x)(named_mine(lambda x: x))
    theta, g = torch.zeros(1, 4), torch.tensor([[-1.0, 0.0, 2.0, 3.0]])
    update = Interpreter([Program.parse("theta = mine(g)")], 4)
    table = update.table([{}], [np.zeros(1)], 1).float()
    update(theta, g, [], table[0], torch.ones(1, 1, dtype=torch.bool))
    assert torch.equal(theta, g)
    assert from_sympy(sympy.tanh(sympy.Symbol("g"))) == Op("tanh", (Name("g"),))


def test_names_that_are_taken():
    reserved = {*FORMS, "mean", "theta", "weight_decay", "g", "lr", "Softsign", "<lambda>"}
    classics = [CLASSICS.get(name).program.statements for name in CLASSICS]
    reserved |= {name for one in classics for target, expr in one for name in (target, *names_in(expr))}
    random.seed(0)
    for genome in (TermSum(), Expression()):
        for _ in range(30):
            statements = genome.candidate(genome.create()).program.statements
            reserved |= {name for target, expr in statements for name in (target, *names_in(expr))}

    def function(x: Any) -> Any:
        return x

    for name in reserved:
        function.__name__ = name
        with pytest.raises(symevo.UserError, match=f"name.*{name}|{name}.*name"):
            _name_of(function)

    def sqrt(x: Any) -> Any:
        return x

    with pytest.raises(symevo.UserError, match="'sqrt' is registered already: choose another name"):
        symevo.primitive(sqrt)


def test_the_names_of_all_forms_are_known():
    assert {form.name for form in _FORMULAS} | set(_WORDS.values()) <= FORMS
