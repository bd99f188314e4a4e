"""Methods by name: `@method` registers one, `card` and `cards` describe them, `build` makes a chain."""

from solera.registry.annotations import Fraction, PerModel, Positive, Range, Share, Weight
from solera.registry.card import Card, Parameter
from solera.registry.lookup import build, card, cards, load_plugin, maker, schema
from solera.registry.table import method
from solera.registry.values import faults_of

__all__ = [
    "Card",
    "Fraction",
    "Parameter",
    "PerModel",
    "Positive",
    "Range",
    "Share",
    "Weight",
    "build",
    "card",
    "cards",
    "faults_of",
    "load_plugin",
    "maker",
    "method",
    "schema",
]
