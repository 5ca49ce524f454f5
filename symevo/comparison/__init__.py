"""How good a rule is beside tuned baselines: equal tuning for all, one look at the test split, and what that shows.

The protocol stands in :mod:`symevo.comparison.protocol`, with why it is valid.
"""
