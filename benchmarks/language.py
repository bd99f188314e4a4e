"""Claims about language models on the testbed lm-6, each on the models that it is made for.

python benchmarks/language.py [transfer] [continued] [trajectory] [--size small] [--seeds 0] [--cache FOLDER]

transfer: an expert of arithmetic and one of the second language, which never saw arithmetic there; what do layer
swapping and a slack in the election of signs give on arithmetic in that language? Settings are chosen on its
validation items. continued: every expert of the first language with the base that was pre-trained further on the
second, a merge for each pair; does WIDEN keep both? trajectory: averages of the last checkpoints at a constant rate,
alike and weighed by their losses, beside the base trained on with a falling rate for a fifth of its steps, which
stands as the expert of every task.

Appends leaderboard records of these variants to results/leaderboard/beside, from which the claim ledger is judged; a
row that is there is not taken again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import beside
import torch

from solera.app.swapping import load_into
from solera.bench.arena import Arena, Made, facts_of, made_from, tensors_of
from solera.evaluate import Score, model_digest, score
from solera.evaluate.contract import Task
from solera.recipe.values import Merge, Operand, Recipe
from solera.registry import card
from solera.testbeds.contract import Built
from solera.types import ModelRef

VARIANTS = {name: beside.Variant("lm-6", name) for name in ("transfer", "continued", "trajectory")}
TASK, LANGUAGE, ASKED = "arithmetic", "language", "arithmetic-b"
CONTINUED, ANNEALED = "continued", "annealed"
LAMBDAS = tuple({"lambda": value} for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0))
TRIMMED = tuple({"density": share, "lambda": value} for share in (0.2, 0.6) for value in (0.4, 0.7, 1.0, 1.4))
SWAPPED = tuple(
    {"bottom": bottom, "top": top, "embedding": outside, "head": outside}
    for bottom, top in ((1, 1), (2, 1), (1, 0), (2, 0))
    for outside in ("task", "average")
)
FEATURES = tuple(
    {"above_average": above, "calibration": score} for above in (0.25, 0.5, 1.0, 2.0) for score in (0.5, 1.0)
)
LAST = (2, 3, 4, 6, 8, 10)
POWERS = tuple({"last": last, "p": power} for last in (4, 6, 10) for power in (1.0, 4.0, 16.0))
Entries = Mapping[str, tuple[str, Sequence[beside.Values]]]

TRANSFER: Entries = {
    "layer_swap": ("layer_swap", SWAPPED),
    "task_arithmetic": ("task_arithmetic", LAMBDAS),
    "ties": ("ties", TRIMMED),
    "ties_sv": ("ties_sv", TRIMMED),
}
PAIRED: Entries = {"widen": ("widen", FEATURES), "task_arithmetic": ("task_arithmetic", LAMBDAS)}
AVERAGED: Entries = {
    "pma": ("linear", tuple({"last": last} for last in LAST)),
    "mwa": ("mwa", POWERS),
}
"""Entry -> (method, the settings that are tried)."""


def merged(
    method: str,
    models: Sequence[ModelRef],
    base: ModelRef | None,
    values: beside.Values,
    own: Sequence[beside.Values] = (),
) -> Made:
    """A merge in memory; `own`: parameters of each model."""
    used = base if card(method).base != "none" else None
    operands = tuple(Operand(model, said) for model, said in zip(models, own or [{}] * len(models), strict=True))
    return made_from(Recipe(Merge(method, operands, base=used, parameters=dict(values))))


def regrouped(arena: Arena, experts: Mapping[str, ModelRef], change: Callable[[Task], Sequence[Task]]) -> None:
    """Give an arena other experts, and of each of its tasks those that `change` makes of it."""
    arena.experts = experts
    arena.tasks = {split: tuple(new for task in tasks for new in change(task)) for split, tasks in arena.tasks.items()}
    facts = tuple(map(facts_of, arena.tasks["test"]))
    arena.record = replace(arena.record, tasks=facts, experts=tuple(experts))


def missing(part: str, arena: Arena, entries: Entries) -> dict[str, tuple[str, Sequence[beside.Values]]]:
    """What is not filed yet."""
    there = beside.filed(VARIANTS[part], arena)
    return {entry: found for entry, found in entries.items() if (entry, "tuned") not in there}


def transfer(arena: Arena, built: Built, work: Path) -> None:  # noqa: ARG001
    """A task and a language, asked for the task in that language."""
    variant, kept = VARIANTS["transfer"], (TASK, LANGUAGE, ASKED)
    regrouped(arena, {name: arena.experts[name] for name in (TASK, LANGUAGE)}, lambda t: [t] if t.name in kept else [])
    beside.references(variant, arena, ())
    there = beside.filed(variant, arena)
    for name, model in arena.experts.items():
        entry = "expert.task" if name == TASK else "expert.language"
        if (entry, "default") not in there:
            found = arena.scores(tensors_of(model), arena.tasks["test"])
            beside.file(variant, arena, beside.record(arena, entry, "default", beside.scored(arena, found)))
    for entry, (method, settings) in missing("transfer", arena, TRANSFER).items():
        names = (LANGUAGE, TASK) if method == "ties_sv" else (TASK, LANGUAGE)
        models = [arena.experts[name] for name in names]
        run = beside.of_one(arena, partial(merged, method, models, arena.base))
        beside.file(variant, arena, beside.tuned(arena, entry, method, settings, run, "unseen"))


def continued(arena: Arena, built: Built, work: Path) -> None:  # noqa: ARG001
    """Pairs of a fine-tuned and a further pre-trained model."""
    tuned = [name for name in arena.experts if name != LANGUAGE]
    experts = {name: arena.experts[name] for name in tuned}
    further = ModelRef(str(built.extras[CONTINUED]))

    def change(task: Task) -> Sequence[Task]:
        if task.name == LANGUAGE:
            return [replace(task, name=f"{name}/{LANGUAGE}", expert=CONTINUED) for name in tuned]
        return [task] if task.name in tuned else []

    regrouped(arena, {**experts, CONTINUED: further}, change)
    variant = VARIANTS["continued"]
    beside.ends(variant, arena)

    def run_of(method: str) -> beside.Run:
        def run(values: beside.Values, tasks: tuple[Task, ...]) -> tuple[Mapping[str, Score], Made]:
            found: dict[str, Score] = {}
            for name, model in experts.items():
                made = merged(method, [model, further], arena.base, values)
                found |= arena.scores(made.tensors, tuple(t for t in tasks if t.name in (name, f"{name}/{LANGUAGE}")))
            return found, made

        return run

    if ("linear", "default") not in beside.filed(variant, arena):
        found, _ = run_of("linear")({}, arena.tasks["test"])
        row = beside.record(arena, "linear", "default", beside.scored(arena, found), method="linear")
        beside.file(variant, arena, row)
    for entry, (method, settings) in missing("continued", arena, PAIRED).items():
        beside.file(variant, arena, beside.tuned(arena, entry, method, settings, run_of(method)))


def trajectory(arena: Arena, built: Built, work: Path) -> None:
    """Averages of checkpoints, and the model whose rate fell."""
    steps = [ModelRef(str(folder)) for name, folder in sorted(built.extras.items()) if name.startswith("step-")]
    place = annealed(built, work / f"{ANNEALED}-{built.digest[:8]}")
    regrouped(arena, {ANNEALED: ModelRef(str(place))}, lambda t: [replace(t, group="held-in", expert=ANNEALED)])
    variant = VARIANTS["trajectory"]
    beside.ends(variant, arena)
    for entry, (method, settings) in missing("trajectory", arena, AVERAGED).items():
        run = beside.of_one(
            arena, partial(average, arena, method, steps, losses(arena, steps) if method == "mwa" else ())
        )
        beside.file(variant, arena, beside.tuned(arena, entry, method, settings, run))


def average(
    arena: Arena, method: str, steps: Sequence[ModelRef], known: Sequence[float], values: beside.Values
) -> Made:
    """The last checkpoints, averaged."""
    last = values["last"]
    power = {"p": values["p"]} if known else {}
    return merged(method, steps[-last:], arena.base, power, [{"metric": loss} for loss in known[-last:]])


def losses(arena: Arena, models: Sequence[ModelRef]) -> list[float]:
    """Mean loss of each on the validation items."""
    found = []
    for model in models:
        tensors = tensors_of(model)
        load_into(arena.module, tensors)
        rows = score(
            arena.module, model_digest(tensors, arena.config), arena.tasks["validation"],
            cache=arena.cache, seed=arena.record.seed,
        )  # fmt: skip
        found.append(fmean(row.value for row in rows if row.metric == "loss"))
    return found


def annealed(built: Built, folder: Path) -> Path:
    """The base, trained on the same mixture for a fifth of its steps at a rate that falls to zero."""
    from solera.testbeds.language.lm_stages import stream, tokenizer_of
    from solera.testbeds.language.models import load_causal, save
    from solera.testbeds.language.sizes import sizes
    from solera.testbeds.language.training import train

    if not (folder / "config.json").exists():
        plan, tokenizer, model = sizes(built.size), tokenizer_of(built.folder / "data"), load_causal(built.base)
        batches = stream(tokenizer, lambda _step: plan.mixture, plan.steady.batch, f"{built.seed}/{ANNEALED}")
        train(model, batches, replace(plan.steady, steps=plan.steady.steps // 5, warmup=0, fall="linear"))
        folder.mkdir(parents=True, exist_ok=True)
        save(model.eval(), tokenizer, folder)
    return folder


PARTS: dict[str, Callable[[Arena, Any, Path], None]] = {
    "transfer": transfer,
    "continued": continued,
    "trajectory": trajectory,
}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS) + "; all, where none is named")
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "solera-language")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, options.seeds.split(",")):
        for part in options.parts or PARTS:
            arena, built = beside.opened(VARIANTS[part], options.size, seed, options.cache)
            PARTS[part](arena, built, options.work)


if __name__ == "__main__":
    main()
