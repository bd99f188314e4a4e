"""The learners that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType

from solera.errors import UnknownName, nearest
from solera.learn.coefficients.contract import LearnCard, Objective, Settings
from solera.recipe.values import Match, StepUse

_HERE = "solera.learn.coefficients.objectives"
_PARITY = "EnnengYang/AdaMerging@cea1165: 20 steps of its optimisation to 1e-5"
_ALIGNED = Settings(
    granularity="tensor",
    init=0.1,
    bounds="sigmoid",
    steps=25,
    rate=0.5,
    decay=1e-5,
    clip=1.0,
    restarts=50,
    batch=1,
    batches=8,
    each_task=False,
    together=1,
    options={"temperature": 1.0, "hidden": 0.0, "anchor": 5.0},
)
_KEPT = (Match(role=("embedding", "head", "norm")), Match(name="*.bias"), Match(name="*vision_model.*"))
_TIES = (
    StepUse("trim", {"density": 0.2, "boundary": "kth"}),
    StepUse("elect_sign", {"zero": "majority"}),
)
_TOKENS = "Of texts, the entropy is the mean over all tokens; the paper classifies images."
_LENGTH = (
    "Steps are counted, not epochs: the paper's one epoch of 5 examples per task is 5 K / 8 of them.",
    "A batch without padding is compared on all tokens, as official code does; padding never counts.",
    "The anchor is added once per step.",
)

_ADAMERGING = LearnCard(
    name="adamerging",
    summary="least entropy of the merged model's predictions on unlabelled data",
    paper="arXiv:2310.02575",
    code="github.com/EnnengYang/AdaMerging",
    target=f"{_HERE}:entropy",
    defaults=Settings(),
    parity=_PARITY,
    deviations=(_TOKENS,),
)
_ALL = (
    _ADAMERGING,
    replace(
        _ADAMERGING,
        name="adamerging_plus_plus",
        summary="the same with task vectors that TIES has trimmed and sorted by sign",
        vectors=_TIES,
    ),
    LearnCard(
        name="expert_merging",
        summary="the experts' predictions and hidden states on unlabelled data, coefficients near where they start",
        paper="arXiv:2509.25712",
        code="github.com/Littleor/ExpertMerging",
        target=f"{_HERE}:alignment",
        defaults=_ALIGNED,
        experts=True,
        anchor="anchor",
        layers="hidden",
        frozen=_KEPT,
        samples=5,
        deviations=_LENGTH,
    ),
)
LEARNERS: Mapping[str, LearnCard] = MappingProxyType({card.name: card for card in _ALL})
"""Every learner, by name."""


def learner(name: str) -> LearnCard:
    """The learner of that name.

    Raises:
        UnknownName: there is none.

    Example:
        >>> learner("adamerging").defaults.rate
        0.001
    """
    if name not in LEARNERS:
        raise UnknownName(f"There is no learner `{name}`.", fix=nearest(name, LEARNERS))
    return LEARNERS[name]


def objective_of(card: LearnCard) -> Objective:
    """The function that a learner minimises."""
    module, _, name = card.target.partition(":")
    found: Objective = getattr(import_module(module), name)
    return found
