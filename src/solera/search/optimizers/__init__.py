"""Optimizers from kept libraries behind one contract: ask for genomes, tell what they scored."""

from solera.search.optimizers.choosing import NAMES, new
from solera.search.optimizers.contract import Optimizer

__all__ = ["NAMES", "Optimizer", "new"]
