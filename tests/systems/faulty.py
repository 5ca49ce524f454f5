"""A user's file with a system whose candidates misbehave in every way; for ``--tasks-from``."""

from __future__ import annotations

import os
import signal
import time

import torch
from deap import creator

from symevo.genomes.base import FITNESS, Genome
from symevo.rules.primitives import PRIMITIVES, Primitive
from symevo.rules.rule import rule
from symevo.search.system import SYSTEMS, System

GOOD, NAN_AT_ONCE, OVERFLOW_AT_50, RAISES, HANGS, DIES = range(6)
KINDS = [GOOD, GOOD, NAN_AT_ONCE, OVERFLOW_AT_50, RAISES, HANGS, DIES, GOOD]
RULE = rule("theta = theta - lr*misbehave(g, kind, t)", lr=0.1, kind=GOOD) if "misbehave" in PRIMITIVES else None


def misbehave(g, kind, t):
    kinds = {int(one) for one in kind.flatten()}
    if DIES in kinds:
        os.kill(os.getpid(), signal.SIGKILL)
    if HANGS in kinds:
        time.sleep(600)
    if RAISES in kinds:
        raise ArithmeticError("injected")
    g = torch.where(kind == NAN_AT_ONCE, torch.nan, g)
    return torch.where((kind == OVERFLOW_AT_50) & (t >= 50), g * 1e30, g)


if RULE is None:
    PRIMITIVES.register("misbehave", Primitive("misbehave", 3, misbehave, lambda g, kind, t: g, lambda g, kind, t: g))
    RULE = rule("theta = theta - lr*misbehave(g, kind, t)", lr=0.1, kind=GOOD)
    creator.create("FaultyIndividual", dict, fitness=FITNESS)


class Faulty(Genome):
    """One number says how a candidate misbehaves; another tells good candidates apart."""

    individual = creator.FaultyIndividual

    def __init__(self, preset="default"):
        super().__init__(preset)
        self.operators = {"mutate": self.mutate, "mate": self.mate}

    def seeded(self):
        return [self.individual(kind=kind, lr=0.1 + 0.01 * place) for place, kind in enumerate(KINDS)]

    def create(self):
        return self.individual(kind=GOOD, lr=0.3)

    def mate(self, a, b):
        return a, b

    def mutate(self, individual, *, progress):
        individual["lr"] *= 1.1
        return (individual,)

    def express(self, individual):
        return RULE.with_hyper(lr=individual["lr"], kind=individual["kind"])

    def from_rule(self, rule):
        return None

    def to_json(self, individual):
        return dict(individual)

    def from_json(self, data):
        return self.individual(data)

    def validate(self, individual):
        pass


if "faulty" not in SYSTEMS:
    SYSTEMS.register("faulty", System("faulty", "candidates that misbehave", lambda preset: Faulty("default")))
