"""Experts within a model: merged, pruned, or made out of dense models."""
