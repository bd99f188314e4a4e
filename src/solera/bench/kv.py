"""Quality of caches with a budget: what experts of `lm-6` still write, at several budgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.bench.kv_rows import BUDGETS, FULL, METHODS, QualityRow, checked, pairs, read_method
from solera.errors import UnknownName, nearest
from solera.types import Event

if TYPE_CHECKING:
    from solera.testbeds.contract import Built
    from solera.testbeds.language.scoring import Rows

TASKS = ("recall", "instruction", "brackets")
"""Finding a number in a long row; copying words in a form, where every token counts; closing what is open."""
BATCH = 100


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared. items: of each task at most, None all. methods: see `kv_rows.read_method`."""

    tasks: Sequence[str] = TASKS
    methods: Sequence[str] = METHODS
    budgets: Sequence[float] = BUDGETS
    items: int | None = None

    def rows(self) -> int:
        """How many there will be."""
        return len(self.tasks) * len(pairs(self.methods, self.budgets))


def measure_quality(built: Built, what: Compared, on_event: Callable[[Event], None] | None = None) -> list[QualityRow]:
    """Let the expert of each task write its answers, with each method at each budget.

    Args:
        built: the testbed `lm-6`.
        what: tasks, methods, budgets.
        on_event: told after every row.

    Raises:
        UnknownName: no such task or method. BadParameter: a budget is none.
    """
    from solera.testbeds.language.lm_stages import encoded_items, tokenizer_of

    checked(what.methods, what.budgets)
    rows = encoded_items(built.folder / "data", "test")
    for task in what.tasks:
        if task not in built.experts:
            raise UnknownName(f"{built.name} has no expert of this task.", got=task, fix=nearest(task, built.experts))
    tokenizer = tokenizer_of(built.folder / "data")
    found: list[QualityRow] = []
    for task in what.tasks:
        found += _task(
            built.experts[task], (task, rows[task][: what.items]), tokenizer, what, _told(what, found, on_event)
        )
    return found


def _told(
    what: Compared, before: Sequence[QualityRow], on_event: Callable[[Event], None] | None
) -> Callable[[int], None]:
    start = len(before)
    tell = on_event or (lambda _event: None)
    return lambda done: tell(Event("progress", "writing", done=start + done, total=what.rows()))


def _task(
    expert: Path, asked: tuple[str, Rows], tokenizer: Any, what: Compared, tell: Callable[[int], None]
) -> list[QualityRow]:
    from solera.testbeds.language.models import load_causal

    model = load_causal(expert)
    found: list[QualityRow] = []
    _, _, whole, _ = written(model, asked[1], tokenizer, FULL, 1.0)
    for method, budget in pairs(what.methods, what.budgets):
        began = time.perf_counter()
        exact, answer, nbytes, slots = written(model, asked[1], tokenizer, method, budget)
        seconds = time.perf_counter() - began
        mean = sum(exact) / len(exact), sum(answer) / len(answer)
        row = QualityRow(
            asked[0], method, budget, *mean, len(exact), nbytes, whole, slots, round(seconds, 3), tuple(exact)
        )
        found.append(row)
        tell(len(found))
    return found


def written(
    model: Any, rows: Rows, tokenizer: Any, method: str, budget: float
) -> tuple[list[float], list[float], int, int]:
    """Let a model write all answers, greedily, in batches padded on the left; no longer than the longest right answer.

    Returns:
        For every item whether all of it is right, and whether its answer is; bytes and slots of the last cache.
    """
    from solera.inference.kv import budgeted, nbytes, physical_lengths
    from solera.testbeds.language.generation import generated

    longest = max(len(wanted) for _, wanted in rows)
    name, parameters = read_method("window" if method == FULL else method)
    with budgeted(model, budget=budget, method=name, **parameters) as opened:
        found = generated(tokenizer, rows, longest, model, batch=BATCH)
    cache = opened.last
    held, slots = (nbytes(cache), max(physical_lengths(cache))) if cache is not None else (0, 0)
    return list(found["whole"]), list(found["answer"]), held, slots
