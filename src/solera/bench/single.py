"""One model on one testbed: what `solera evaluate` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.app.swapping import load_into
from solera.bench.arena import tensors_of
from solera.checkpoints import parse_ref
from solera.evaluate import Score, ScoreCache, folder_digest, score

if TYPE_CHECKING:
    from solera.evaluate.contract import Split
    from solera.testbeds.contract import Built, Size


def evaluate_on_testbed(
    model: str,
    name: str,
    *,
    size: Size = "small",
    seed: int = 0,
    split: Split = "test",
    written: bool = False,
    only: Sequence[str] = (),
    folder: Path | None = None,
    cache: ScoreCache | None = None,
) -> tuple[Score, ...]:
    """Score a model on the tasks of a testbed.

    Args:
        model: folder, Hub id, or ``model+adapter``.
        name: of the testbed.
        size: of the testbed.
        seed: of the testbed.
        split: ``test``, or ``validation`` while something is being chosen.
        written: score what a language model writes by itself; its answers' lengths are records too.
        only: these tasks; none is all.
        folder: the cache of testbeds; None is the user's.
        cache: where scores are remembered.

    Raises:
        UnknownName: no such testbed, or task. BadParameter: its models write nothing.
        NotFound: it is not built, or no such model.
        CheckpointError: the model does not fit the testbed's shapes.
    """
    from solera import testbeds

    built = testbeds.open_built(name, size=size, seed=seed, cache=folder)
    tasks = testbeds.tasks(built, split, written=written, only=only)
    return score(_module(built, model), folder_digest(model), tasks, cache=cache, seed=seed)


def _module(built: Built, model: str) -> Any:
    """The model, ready for the tasks; adapters are merged into a resident base."""
    from solera import testbeds

    if Path(model).is_dir():
        return testbeds.load(built, model)
    module = testbeds.load(built, built.base)
    load_into(module, tensors_of(parse_ref(model)))
    return module
