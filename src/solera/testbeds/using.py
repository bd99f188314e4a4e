"""Use a built testbed: its tasks, and models in the shape that the tasks want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.errors import BadParameter, UnknownName, nearest
from solera.evaluate.contract import Split, Task
from solera.testbeds.contract import Built
from solera.testbeds.homes import testbed

if TYPE_CHECKING:
    from torch import nn


WRITTEN = "/generated"
"""Ends the name of a task that is scored by what a model writes: `sorting/generated`."""


def tasks(built: Built, split: Split = "test", *, written: bool = False, only: Sequence[str] = ()) -> tuple[Task, ...]:
    """The tasks of a testbed, always in the same order.

    Args:
        built: a finished testbed.
        split: ``validation`` to tune on, ``test`` for figures.
        written: scored by what the model writes by itself, at several times the cost.
        only: these tasks; none is all. Written ones go by the name of the task that is written.

    Raises:
        BadParameter: models of this testbed write nothing. UnknownName: it has no task of such a name.
    """
    kind = testbed(built.name)
    if not written:
        return _named(built.name, kind.tasks(built, split), only)
    if kind.written is None:
        want = "a testbed of language models: lm-6, moe-8"
        raise BadParameter(
            "Models of this testbed write nothing.",
            got=built.name,
            want=want,
            fix="leave out --written; in Python, written=True",
        )
    return _named(built.name, kind.written(built, split), only)


def _named(testbed: str, tasks: tuple[Task, ...], only: Iterable[str]) -> tuple[Task, ...]:
    known = {each.name.removesuffix(WRITTEN) for each in tasks}
    asked = {name.removesuffix(WRITTEN) for name in only}
    if unknown := sorted(asked - known):
        raise UnknownName(f"{testbed} has no such task.", got=unknown[0][:80], fix=nearest(unknown[0][:80], known))
    return tuple(each for each in tasks if not asked or each.name.removesuffix(WRITTEN) in asked)


def task(built: Built, name: str, split: Split = "test") -> Task:
    """One task by its name.

    Raises:
        UnknownName: the testbed has none of this name.
    """
    return tasks(built, split, only=[name])[0]


def load(built: Built, folder: Path | str) -> nn.Module:
    """A model of this testbed (base, expert or merge of them) in eval mode, ready for `Task.measure`.

    Raises:
        CheckpointError: it does not fit the testbed's shapes.
    """
    found: Any = testbed(built.name).load(Path(folder))
    return found  # type: ignore[no-any-return]
