"""Fewer tokens: merged inside a vision model while it runs, or in the embeddings of pages that it made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.inference.tokens.late import maxsim, ndcg
    from solera.inference.tokens.matching import Matching, bipartite_soft_matching, merge_tokens
    from solera.inference.tokens.measuring import Measured, measure_merging
    from solera.inference.tokens.merging import TokenMerging, merged_tokens
    from solera.inference.tokens.pooling import (
        clusters,
        pooled,
        pooled_all,
        pooled_in_rows,
        pooled_in_squares,
        pruned,
    )
    from solera.inference.tokens.schedule import reductions, token_counts
    from solera.inference.tokens.stored import PooledFile, pool_file

_HOMES = {
    "Matching": "matching",
    "Measured": "measuring",
    "PooledFile": "stored",
    "TokenMerging": "merging",
    "bipartite_soft_matching": "matching",
    "clusters": "pooling",
    "maxsim": "late",
    "measure_merging": "measuring",
    "merge_tokens": "matching",
    "merged_tokens": "merging",
    "ndcg": "late",
    "pool_file": "stored",
    "pooled": "pooling",
    "pooled_all": "pooling",
    "pooled_in_rows": "pooling",
    "pooled_in_squares": "pooling",
    "pruned": "pooling",
    "reductions": "schedule",
    "token_counts": "schedule",
}

__all__ = [
    "Matching",
    "Measured",
    "PooledFile",
    "TokenMerging",
    "bipartite_soft_matching",
    "clusters",
    "maxsim",
    "measure_merging",
    "merge_tokens",
    "merged_tokens",
    "ndcg",
    "pool_file",
    "pooled",
    "pooled_all",
    "pooled_in_rows",
    "pooled_in_squares",
    "pruned",
    "reductions",
    "token_counts",
]


def __getattr__(name: str) -> Any:
    """Find a public name when it is first used: importing the room costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"solera.inference.tokens.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
