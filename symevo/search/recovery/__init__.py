"""Recovery of a hidden rule from its steps alone; imported by those who want it, and by no search."""
