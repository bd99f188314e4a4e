"""What the output's config must say: layers, per-layer lists, ties, vocabulary, consumed keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solera.plan.models import ModelTable
from solera.plan.tasks import SidePlan

if TYPE_CHECKING:
    from solera.plan.vocabulary import VocabularyChoice


def side_of(table: ModelTable, vocabulary: VocabularyChoice | None) -> SidePlan:
    """Collect the facts that reconcile turns into config.json and tokenizer files."""
    moved = [s for s in table.stacks if s.name in table.layer_sources]
    layers = {s.count_key: s.count for s in moved if s.count_key}
    per_layer = {key: table.layer_sources[s.name] for s in moved for key in (*s.per_layer_keys, *s.index_keys)}
    leading = {key: table.layer_sources[s.name] for s in moved for key in s.leading_keys}
    return SidePlan(
        layout=table.checkpoint,
        layers=layers,
        per_layer=per_layer,
        leading=leading,
        vocabulary=vocabulary,
        vocab_rows=_vocab_rows(table, vocabulary),
        tied=False if table.untied else None,
        tie_keys=tuple(table.architecture.tie_keys),
        patch={**table.checkpoint.config_patch, **table.patch},
    )


def _vocab_rows(table: ModelTable, vocabulary: VocabularyChoice | None) -> int | None:
    """Rows of the token embedding, where they are not what the layout model's file has."""
    if vocabulary is not None:
        return vocabulary.rows
    for row in table.rows.values():
        stored = table.tensors.get(row.leaf.tensor)
        if row.leaf.role == "embedding" and row.leaf.vocab_axis == 0 and stored and row.leaf.shape[0] != stored[0]:
            return row.leaf.shape[0]
    return None
