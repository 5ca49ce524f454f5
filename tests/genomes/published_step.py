"""The published update, weight by weight in plain Python floats, straight from systems.md, section 1.

It shares nothing with the package: genes are read from the genome's plain form.
"""

import math


def published_path(genes, theta, gradients, total):
    """The weight after each step.

    Args:
        genes: A term sum in its JSON form.
        theta: The weight before the first step.
        gradients: One gradient a step.
        total: T.
    """
    m = v = 0.0
    path = []
    for s, gradient in enumerate(gradients):
        t = s + 1
        eta = genes["lr"]
        if genes["use_warmup"] and s < genes["warmup"]:
            eta = genes["lr"] * (s + 1) / genes["warmup"]
        if genes["cosine"]:
            eta = eta * 0.5 * (1 + math.cos(math.pi * s / total))
        g = gradient
        if genes["clipping"]:
            g = max(-genes["clip_value"], min(genes["clip_value"], g))
        if genes["use_wd"]:
            theta = theta * (1 - eta * genes["weight_decay"])
        m = genes["beta1"] * m + (1 - genes["beta1"]) * g if genes["use_m"] else g
        v = genes["beta2"] * v + (1 - genes["beta2"]) * (g * g) if genes["use_v"] else g * g
        m_hat, v_hat = m, v
        if genes["bias_correction"]:
            m_hat = m / (1 - genes["beta1"] ** t) if genes["use_m"] else m
            v_hat = v / (1 - genes["beta2"] ** t) if genes["use_v"] else v
        total_update = 0.0
        for term, alpha in zip(genes["terms"], genes["alphas"], strict=True):
            total_update += alpha * value(term, g, m_hat, v_hat, genes["eps"])
        theta = theta - eta * total_update
        path.append(theta)
    return path


def value(term, g, m, v, eps):
    """One primitive term."""
    if term == "grad":
        return g
    if term == "momentum":
        return m
    if term == "rms":
        return g / (math.sqrt(v) + eps)
    if term == "adam":
        return m / (math.sqrt(v) + eps)
    if term == "sign":
        return (g > 0) - (g < 0)
    if term == "sqrt":
        return g / (abs(g) + eps)
    if term == "nesterov":
        return m + 0.9 * (g - m)
    raise AssertionError(term)
