"""`text-6`: a small BERT with one shared classifier trained on six text classification tasks, and six experts.

The base is trained on all tasks together for a short while, heads included; the classifier is then frozen, and each
expert is fine-tuned on one task. A task reads its own slice of the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from solera.evaluate.contract import Measured, Split, Task
from solera.testbeds.contract import Built, Size, Testbed
from solera.testbeds.language import facts, text_stages
from solera.testbeds.language.text_data import CLASSES
from solera.testbeds.language.text_sizes import text_sizes
from solera.testbeds.making import Made, declare
from solera.testbeds.stages import Stage, run
from solera.types import Event

DATA, BASE = "data", "base"


def make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None]) -> None:
    """Build the testbed; finished stages of an earlier call are kept.

    Raises:
        RunError: small or full misses its gate.
    """
    given = {"data": str(folder / DATA), "size": size, "seed": seed}
    go = partial(run, folder, listener=listener, workers=1 if size == "tiny" else 2)
    go([Stage(DATA, text_stages.data, {"size": size, "seed": seed})], title="data", workers=1)
    alone = (
        {} if size == "tiny" else {t: Stage(f"scratch/{t}", text_stages.scratch, {**given, "task": t}) for t in CLASSES}
    )
    done = go([Stage(BASE, text_stages.base, given), *alone.values()], title="base and networks from scratch")
    experts = {task: f"experts/{task}" for task in CLASSES}
    from_base = {**given, "start": str(folder / BASE)}
    done |= go(
        [Stage(path, text_stages.expert, {**from_base, "task": task}) for task, path in experts.items()],
        title="experts",
    )
    options = {
        "data": given["data"],
        "base": str(folder / BASE),
        "experts": {task: str(folder / path) for task, path in experts.items()},
    }
    done |= go([Stage("measured", text_stages.measured, options)], title="measurement", workers=1)
    found: dict[str, Any] = dict(done["measured"].facts)
    found["ceiling"] = {task: done[stage.name].facts["points"] for task, stage in alone.items()}
    found["cpu"] = {name: round(stage.cpu, 1) for name, stage in done.items()}
    if size != "tiny":
        found["gate"] = facts.gate("text-6", found)
    declare(folder, Made(BASE, experts, facts=found))


def load(folder: Path) -> Any:
    """A model of this testbed in float32 and eval mode; errors as `models.checked`."""
    return text_stages.load_classifier(folder)


def tasks(built: Built, split: Split) -> tuple[Task, ...]:
    """The six tasks; headline: accuracy by the task's slice of the logits; also the loss."""
    rows = text_stages.encoded_sentences(built.folder / DATA, split)
    return tuple(
        Task(
            task,
            facts.digest_of([(ids, [label]) for ids, label in items]),
            len(items),
            "accuracy",
            partial(_right, items, task),
            split=split,
            expert=task,
            part=partial(_part, items, task),
        )
        for task, items in rows.items()
    )


def _right(rows: text_stages.Rows, task: str, model: Any) -> Measured:
    return text_stages.right(model, rows, task)


def _part(rows: text_stages.Rows, task: str, places: Sequence[int]) -> Callable[[Any], Measured]:
    return partial(_right, [rows[place] for place in places], task)


TESTBED = Testbed(
    name="text-6",
    about="a small BERT trained on six text classification tasks, and six experts under one classifier",
    make=make,
    load=load,
    tasks=tasks,
    minutes={"tiny": 0.2, "small": 5, "full": 240},
    nbytes={"tiny": 2_000_000, "small": 40_000_000, "full": 300_000_000},
    settings=text_sizes,
    version=2,
)
