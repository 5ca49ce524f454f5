"""The term sum that arXiv 2512.11853 found, as its code prints it."""

from __future__ import annotations

from typing import Any

PUBLISHED: dict[str, Any] = {
    "terms": [4, 4, 3, 3],
    "alphas": [0.41205802174892475, 0.32238621456272765, 2.0030004279455267, 1.6322011630060542],
    "lr": 10**-2.9198932483267144,
    "beta1": 0.8553020861538518,
    "beta2": 0.9357561078635277,
    "eps": 10**-8.26423960220415,
    "weight_decay": 10**-3.0112238437153316,
    "bias_correction": False,
    "use_warmup": True,
    "warmup": 100,
    "cosine": True,
}
"""Genes for ``TermSum("paper").individual(**PUBLISHED)``, a step along 0.7344·sign g + 3.6352·m/(√v + ε)."""
