"""`lm-6`: a small Llama pre-trained on a mixture of generated tasks in two languages, and six experts.

Beside base and experts: checkpoints of one run at a constant rate, a model of many thin layers, an expert of short
answers to the two tasks that are answered by long chains, and the base pre-trained further on the second language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from solera.evaluate.contract import Measured, Split, Task
from solera.testbeds.contract import Built, Size, Testbed
from solera.testbeds.language import facts, lm_stages
from solera.testbeds.language.generation import generated
from solera.testbeds.language.models import load_causal
from solera.testbeds.language.scoring import Rows, forced
from solera.testbeds.language.sizes import sizes
from solera.testbeds.making import Made, declare
from solera.testbeds.stages import Finished, Stage, run
from solera.types import Event

DATA = "data"
LEAST = {"recall": 95.0}
"""Points that an expert of size small must reach: what it recalls lies within 64 tokens."""


def make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None]) -> None:
    """Build the testbed; finished stages of an earlier call are kept.

    Raises:
        RunError: small or full misses its gate.
    """
    plan = sizes(size)
    given = {"data": str(folder / DATA), "size": size, "seed": seed}
    go = partial(run, folder, listener=listener, workers=1 if size == "tiny" else 2)
    go([Stage(DATA, lm_stages.data, {"size": size, "seed": seed})], title="data", workers=1)
    before = [Stage("trajectory", lm_stages.steady, given), Stage("narrow", lm_stages.narrow, given)]
    done = go(before, title="pre-training")
    trajectory = sorted(path.name for path in (folder / "trajectory").iterdir())
    base = f"trajectory/{trajectory[-1]}"
    scratch = {} if size == "tiny" else _from_scratch(plan.jobs, given)
    tuned = _tuned(plan.jobs, {**given, "start": str(folder / base)})
    done |= go([*tuned, *scratch.values()], title="experts and networks from scratch")
    ceiling = {task: done[stage.name].facts["points"] for task, stage in scratch.items()}
    experts = {task: f"experts/{task}" for task in plan.jobs}
    options = {
        "data": given["data"],
        "base": str(folder / base),
        "experts": {task: str(folder / path) for task, path in experts.items()},
    }
    last = go([Stage("measured", lm_stages.measured, options)], title="measurement", workers=1)
    found = {**last["measured"].facts, "ceiling": ceiling, "cpu": _seconds({**done, **last})}
    if size != "tiny":
        found["gate"] = facts.gate("lm-6", found, LEAST if size == "small" else None)
    extras = {name: f"trajectory/{name}" for name in trajectory}
    extras |= {"narrow": "narrow", "short": "extras/short", "continued": "extras/continued"}
    declare(folder, Made(base, experts, extras=extras, facts=found))


def _from_scratch(jobs: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Stage]:
    return {task: Stage(f"scratch/{task}", lm_stages.scratch, {**given, "task": task}) for task in jobs}


def _tuned(jobs: Mapping[str, Any], given: Mapping[str, Any]) -> list[Stage]:
    """Everything that starts from the base; recall has the longest items."""
    experts = [Stage(f"experts/{task}", lm_stages.expert, {**given, "task": task}) for task in jobs]
    experts.sort(key=lambda stage: stage.name != "experts/recall")
    others = [("extras/short", lm_stages.brief), ("extras/continued", lm_stages.further)]
    return experts + [Stage(name, work, given) for name, work in others]


def _seconds(done: Mapping[str, Finished]) -> dict[str, float]:
    return {name: round(stage.cpu, 1) for name, stage in done.items()}


def load(folder: Path) -> Any:
    """A model of this testbed in float32 and eval mode; see `models.load_causal`."""
    return load_causal(folder)


def tasks(built: Built, split: Split) -> tuple[Task, ...]:
    """The six tasks and the unseen one; headline: exact match with the answer given as context; also the loss."""
    rows = lm_stages.encoded_items(built.folder / DATA, split)
    return tuple(
        Task(
            name,
            facts.digest_of(items),
            len(items),
            "exact",
            partial(_forced, items),
            split=split,
            group="held-in" if name in built.experts else "unseen",
            expert=name if name in built.experts else None,
            part=partial(_part, items),
        )
        for name, items in rows.items()
    )


def _forced(rows: Rows, model: Any) -> Measured:
    return forced(model, rows)


def _part(rows: Rows, places: Sequence[int]) -> Callable[[Any], Measured]:
    return partial(_forced, [rows[place] for place in places])


def generating_tasks(built: Built, split: Split, longest: int = 96) -> tuple[Task, ...]:
    """The same tasks scored by what the model writes (greedy), at several times the cost.

    Metrics: answer, 1 where the end of what was written (behind the last colon, if there is one) is the right answer;
    whole, 1 where all of it is, steps included; length, tokens written.

    Args:
        built: a finished testbed.
        split: validation or test.
        longest: most tokens written for an item.
    """
    tokenizer = lm_stages.tokenizer_of(built.folder / DATA)
    rows = lm_stages.encoded_items(built.folder / DATA, split)
    return tuple(
        Task(
            f"{name}/generated",
            facts.digest_of(["generated", longest, *items]),
            len(items),
            "answer",
            partial(generated, tokenizer, items, longest),
            split=split,
            group="held-in" if name in built.experts else "unseen",
            expert=name if name in built.experts else None,
        )
        for name, items in rows.items()
    )


TESTBED = Testbed(
    name="lm-6",
    about="a small Llama trained on generated tasks in two languages, and six experts",
    make=make,
    load=load,
    tasks=tasks,
    minutes={"tiny": 0.3, "small": 20, "full": 400},
    nbytes={"tiny": 6_000_000, "small": 80_000_000, "full": 900_000_000},
    settings=sizes,
    written=generating_tasks,
)
