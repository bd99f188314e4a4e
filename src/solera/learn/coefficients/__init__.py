"""Coefficients of merges, learnt on data without labels; the result is a recipe."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.learn.coefficients.contract import Answer, LearnCard, Settings, TaskData
    from solera.learn.coefficients.learners import LEARNERS, learner
    from solera.learn.coefficients.learning import Job, learn
    from solera.learn.coefficients.result import Learnt, Result, read

_HOMES = {
    "Answer": "contract",
    "Job": "learning",
    "LEARNERS": "learners",
    "LearnCard": "contract",
    "Learnt": "result",
    "Result": "result",
    "Settings": "contract",
    "TaskData": "contract",
    "learn": "learning",
    "learner": "learners",
    "read": "result",
}

__all__ = [
    "LEARNERS",
    "Answer",
    "Job",
    "LearnCard",
    "Learnt",
    "Result",
    "Settings",
    "TaskData",
    "learn",
    "learner",
    "read",
]


def __getattr__(name: str) -> Any:
    """Find a public name when it is first used: importing the room costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"solera.learn.coefficients.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
