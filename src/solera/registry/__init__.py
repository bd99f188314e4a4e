"""Methods by name: `@method` registers one, `card` and `cards` describe them, `build` makes a chain."""

from solera.registry.annotations import Fraction, PerModel, Positive, Range, Share, Weight
from solera.registry.card import Card, Parameter
from solera.registry.compose import STEPS_METHOD, compose, composed_card, order_faults, wrapped, wrapped_card
from solera.registry.lookup import build, card, cards, load_plugin, maker, plugins, schema
from solera.registry.step_card import StepCard
from solera.registry.steps import step, step_card, step_cards, step_maker, wrapper
from solera.registry.table import method
from solera.registry.values import faults_of

__all__ = [
    "STEPS_METHOD",
    "Card",
    "Fraction",
    "Parameter",
    "PerModel",
    "Positive",
    "Range",
    "Share",
    "StepCard",
    "Weight",
    "build",
    "card",
    "cards",
    "compose",
    "composed_card",
    "faults_of",
    "load_plugin",
    "maker",
    "method",
    "order_faults",
    "plugins",
    "schema",
    "step",
    "step_card",
    "step_cards",
    "step_maker",
    "wrapped",
    "wrapped_card",
    "wrapper",
]
