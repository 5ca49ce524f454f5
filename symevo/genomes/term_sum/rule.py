"""From the genes of a term sum to rules: the readable one, and the dense one that a whole search shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from symevo.genomes.base import schedule_of
from symevo.genomes.term_sum.genes import ADAM, GRAD, MOMENTUM, NESTEROV, RMS, SIGN, SQRT, TERMS, TermSumGenes, merged
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

COEFFICIENTS = tuple(f"a_{name}" for name in TERMS)
"""Hyperparameters that weigh the terms, in order of types."""

DENSE_TEXT = """
bound = where(clip_value > 0, clip_value, 1/0)
d = clip(g, -bound, bound)
m = beta1*m + (1 - beta1)*d
v = where(beta2 > 0, beta2*v, 0) + (1 - beta2)*d**2
m_fix = where(bias_correction > 0, 1/(1 - beta1**t), 1)
v_fix = where(bias_correction > 0, 1/sqrt(1 - beta2**t), 1)
q = 1/(v_fix*sqrt(v) + eps)
by_d = d*(a_grad + 0.9*a_nesterov + a_rms*q)
by_m = m*(m_fix*(a_momentum + 0.1*a_nesterov) + m_fix*a_adam*q)
rest = abs(a_grad) + abs(a_momentum) + abs(a_rms) + abs(a_adam) + abs(a_sqrt) + abs(a_nesterov)
signed = where(g > 0, 1, where(g < 0, -1, g))
update = where(rest > 0, by_d + by_m + a_sqrt*(d/(abs(d) + eps)), 0) + a_sign*signed
theta = theta*(1 - lr*weight_decay) - lr*update
"""
"""One program for every term sum: its numbers decide what is on. Scalars are computed outside the kernel.

Why it equals the published step wherever that is finite:

- beta2 = 0 stands for use_v off (v = g²), and the old v is *selected* away: it may be infinite (g = 1e200),
  and 0·∞ is NaN. beta1 = 0 (use_m off) needs no selection: m is finite while d is.
- An absent term is multiplied by 0, which is exact while d is finite: q is at most 1/eps, and 0 where v
  overflowed. Where d is infinite every term but the sign is infinite or NaN in the published step too, so
  one selection, of a sum with no other term, is enough.
- clip_value = 0 stands for no clipping: the bound is then 1/0, infinite. sign(clip(g)) is sign(g).
- 0.9·a on g and 0.1·a on m is a·(m + 0.9(g − m)).
- d·(a·q) and not (a·d)·q: the latter may overflow. One square root and two divisions a weight.
- signed is sign(g), NaN and 0 included. Written with sign(g) the compiled step took twice as long.
"""

DENSE = Program.parse(DENSE_TEXT)
_UNUSED_EPS = 1.0  # keeps 1/(sqrt(v) + eps) finite for terms that are not there


@dataclass(frozen=True)
class Form:
    """The canonical form of a genome: equal forms are one candidate.

    Coefficients by term type are not 0. What is off or not read is 0, and ``eps`` is None.
    """

    coefficients: dict[int, float]
    lr: float
    beta1: float
    beta2: float
    eps: float | None
    weight_decay: float
    bias_correction: bool
    clip_value: float
    schedule: Schedule

    @classmethod
    def of(cls, genes: TermSumGenes) -> Form:
        """Read the genes."""
        running_m, running_v = genes.use_m and genes.beta1 > 0, genes.use_v and genes.beta2 > 0
        found = merged(genes.terms if running_m else [_WITHOUT_M.get(k, k) for k in genes.terms], genes.alphas)
        reads_m = running_m and not found.keys().isdisjoint((MOMENTUM, ADAM, NESTEROV))
        reads_v = running_v and not found.keys().isdisjoint((RMS, ADAM))
        return cls(
            coefficients=found,
            lr=genes.lr,
            beta1=genes.beta1 if reads_m else 0.0,
            beta2=genes.beta2 if reads_v else 0.0,
            eps=None if found.keys().isdisjoint((RMS, ADAM, SQRT)) else genes.eps,
            weight_decay=genes.weight_decay if genes.use_wd else 0.0,
            bias_correction=genes.bias_correction and (reads_m or reads_v),
            clip_value=genes.clip_value if genes.clipping and found.keys() - {SIGN} else 0.0,
            schedule=schedule_of(genes),
        )


_WITHOUT_M = {MOMENTUM: GRAD, ADAM: RMS, NESTEROV: GRAD}
"""What a term is when m = g. RMS_NORM with v = g² is not SQRT_GRAD: where g² overflows they differ."""


def _numbers(form: Form) -> dict[str, float]:
    return {
        "lr": form.lr,
        "beta1": form.beta1,
        "beta2": form.beta2,
        "eps": _UNUSED_EPS if form.eps is None else form.eps,
        "weight_decay": form.weight_decay,
        "clip_value": form.clip_value,
    }


def readable(form: Form) -> Rule:
    """The readable rule: lines, states and hyperparameters that are not in use are left out.

    A single term with coefficient 1 is written without it, so that the seeded Adam reads as Adam.
    """
    values = _numbers(form) | {COEFFICIENTS[kind]: value for kind, value in form.coefficients.items()}
    program = _parse(express_text(form))
    used = {name: value for name, value in values.items() if name in (*program.hyper_names, "lr")}
    return Rule(program, used, form.schedule, "term-sum")


def express_text(form: Form) -> str:
    """The program of a form, a line a step of the specification."""
    d = "g_clip" if form.clip_value else "g"
    m, v = ("m" if form.beta1 else d), ("v" if form.beta2 else f"{d}**2")
    lines = ["g_clip = clip(g, -clip_value, clip_value)"] if form.clip_value else []
    lines += ["theta = theta*(1 - lr*weight_decay)"] if form.weight_decay else []
    lines += [f"m = beta1*m + (1 - beta1)*{d}"] if form.beta1 else []
    lines += [f"v = beta2*v + (1 - beta2)*{d}**2"] if form.beta2 else []
    if form.bias_correction and form.beta1:
        lines, m = [*lines, "m_hat = m/(1 - beta1**t)"], "m_hat"
    if form.bias_correction and form.beta2:
        lines, v = [*lines, "v_hat = v/(1 - beta2**t)"], "v_hat"
    terms = {
        GRAD: d,
        MOMENTUM: m,
        RMS: f"{d}/(sqrt({v}) + eps)",
        ADAM: f"{m}/(sqrt({v}) + eps)",
        SIGN: "sign(g)",
        SQRT: f"{d}/(abs({d}) + eps)",
        NESTEROV: f"({m} + 0.9*({d} - {m}))",
    }
    products = [f"{COEFFICIENTS[kind]}*{terms[kind]}" for kind in form.coefficients]
    if len(products) == 1:
        (kind, value), product = next(iter(form.coefficients.items())), products[0]
        return "\n".join([*lines, f"theta = theta - lr*{terms[kind] if value == 1 else product}"])
    if products:
        lines.append(f"theta = theta - lr*({' + '.join(products)})")
    return "\n".join(lines) if form.weight_decay or products else "theta = theta"


def dense(form: Form) -> Rule:
    """The dense program with the form's numbers; what is not in use has a fixed value."""
    hyper = {
        **_numbers(form),
        "bias_correction": 1.0 if form.bias_correction else 0.0,
        **{name: form.coefficients.get(kind, 0.0) for kind, name in enumerate(COEFFICIENTS)},
    }
    return Rule(DENSE, hyper, form.schedule, "term-sum dense")


@lru_cache(maxsize=4096)
def _parse(text: str) -> Program:
    return Program.parse(text)
