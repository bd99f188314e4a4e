"""What the output's config must say: layers, per-layer lists, ties, vocabulary, consumed keys."""

from __future__ import annotations

from typing import Any

from solera.plan.models import ModelTable
from solera.plan.tasks import SidePlan
from solera.recipe.values import Recipe


def side_of(recipe: Recipe, table: ModelTable, vocabulary: Any) -> SidePlan:
    """Collect the facts that reconcile turns into config.json and tokenizer files."""
    layers = {s.count_key: s.count for s in table.stacks if s.count_key and s.name in table.layer_sources}
    per_layer = {
        key: table.layer_sources[s.name] for s in table.stacks if s.name in table.layer_sources for key in s.per_layer_keys
    }
    flagged = table.architecture.tied(table.checkpoint.config)
    tied = False if flagged and not table.tied and _has_head(table) else None
    return SidePlan(
        layout=table.checkpoint,
        layers=layers,
        per_layer=per_layer,
        vocabulary=vocabulary,
        tied=tied,
        tie_key=table.architecture.tie_key,
        patch=dict(table.checkpoint.config_patch),
    )


def _has_head(table: ModelTable) -> bool:
    return any(row.leaf.role == "head" and row.alias is None for row in table.rows.values())
