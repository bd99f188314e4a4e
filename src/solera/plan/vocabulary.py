"""Vocabularies in the plan: every model's embedding rows rearranged to the output's tokens, before anything merges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solera.plan.models import ModelTable
from solera.recipe.values import Recipe
from solera.types import ModelRef


def adapted(recipe: Recipe, opened: Mapping[ModelRef, ModelTable]) -> tuple[dict[ModelRef, ModelTable], Any]:
    """Return the tables with vocabulary rows rearranged, and the output vocabulary (None: left as it is)."""
    if recipe.tokenizer is None:
        return dict(opened), None
    raise NotImplementedError
