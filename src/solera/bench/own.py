"""Comparisons on one's own models and data: ``solera bench --base B --models M1 M2 --tasks tasks.yaml``.

The file names the tasks; each is a JSONL file with one item in a line::

    tasks:
      - name: sentiment
        data: sentiment.jsonl      # {"text": "...", "label": "positive"}: a classifier's task
        expert: org/sentiment      # optional: one of the models; scores are shares of what it scores
        validation: dev.jsonl      # optional: items for tuning; without it every other line of `data` is for that
      - name: sums
        data: sums.jsonl           # {"prompt": "2 + 2 =", "answer": " 4"}: a language model's task
        metric: exact_match        # or loss: nats per token of the answer
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from solera.app.holding import open_again
from solera.bench.arena import Arena, facts_of
from solera.bench.measure_text import answers, labels
from solera.bench.records import BedRecord
from solera.checkpoints import parse_ref
from solera.checkpoints.identity import hasher
from solera.errors import BadParameter, MissingExtra, RecipeError, UnknownName, nearest
from solera.evaluate import ScoreCache
from solera.evaluate.contract import Split, Task
from solera.types import ModelRef

Metric = Literal["accuracy", "exact_match", "loss"]
Rows = Sequence[Mapping[str, Any]]


class TaskText(BaseModel):
    """One task as the file has it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    data: str
    metric: Metric | None = None
    expert: str | None = None
    validation: str | None = None


class TasksText(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")

    tasks: list[TaskText] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class OwnSource:
    """One's own base, models and tasks.

    Attributes:
        base: reference, or None. models: references. tasks: the YAML file. seed: of methods that draw.
    """

    base: str | None
    models: tuple[str, ...]
    tasks: Path
    seed: int = 0

    @property
    def based(self) -> bool:
        """Whether the base is known."""
        return self.base is not None

    @property
    def models_count(self) -> int:
        """How many models there are."""
        return len(self.models)

    def key(self) -> tuple[Any, ...]:
        """Name of the file, ``own``, seed, digest of models (headers, sizes, times) and data, variant."""
        return (self.tasks.stem, "own", self.seed, self._digest(), "experts")

    def _digest(self) -> str:
        digest = hasher()
        for ref in (*([self.base] if self.base else []), *self.models):
            digest.update(f"{ref} {open_again(parse_ref(ref)).weak_id}\n".encode())
        for split in _SPLITS:
            for text, rows in self._items(split):
                digest.update(f"{text.model_dump_json()} {_rows_digest(rows, text.name)}\n".encode())
        return str(digest.hexdigest())

    def _items(self, split: Split) -> list[tuple[TaskText, Rows]]:
        return [(text, _split(self.tasks, text, split)) for text in read_tasks(self.tasks).tasks]

    def experts(self) -> dict[str, ModelRef]:
        """Short name -> model."""
        shorts = [Path(model.partition("+")[2] or model).name for model in self.models]
        plain = shorts if len(set(shorts)) == len(shorts) else list(self.models)
        return dict(zip(plain, map(parse_ref, self.models), strict=True))

    def open(self, scores: ScoreCache | None = None) -> Arena:
        """Load the base (else the first model) and the tasks.

        Raises:
            RecipeError, BadParameter: the file is wrong. UnknownName: an expert is none of the models.
            MissingExtra: transformers is not installed.
        """
        experts = self.experts()
        items = {split: self._items(split) for split in _SPLITS}
        first = self.base or self.models[0]
        module, tokenizer = _loaded(first, kind_of(items["test"]))
        tasks: dict[Split, tuple[Task, ...]] = {
            split: tuple(self._task(text, rows, split, tokenizer, experts) for text, rows in found)
            for split, found in items.items()
        }
        opened = open_again(parse_ref(first))
        name, size, seed, digest, variant = self.key()
        facts = tuple(map(facts_of, tasks["test"]))
        record = BedRecord(name, size, seed, digest, variant, facts, tuple(experts), opened.nbytes)
        base = parse_ref(self.base) if self.base else None
        return Arena(record, base, experts, module, opened.config, tasks, scores)

    def _task(self, text: TaskText, rows: Rows, split: Split, tokenizer: Any, experts: Mapping[str, ModelRef]) -> Task:
        metric = metric_of(text, rows)
        measure = labels if metric == "accuracy" else partial(answers, metric=metric)
        return Task(
            name=text.name,
            data=f"{_rows_digest(rows, metric)}",
            items=len(rows),
            metric=metric,
            measure=partial(measure, rows=rows, tokenizer=tokenizer),
            part=lambda places: partial(measure, rows=[rows[place] for place in places], tokenizer=tokenizer),
            split=split,
            higher=metric != "loss",
            expert=self._expert(text, experts),
        )

    def _expert(self, text: TaskText, experts: Mapping[str, ModelRef]) -> str | None:
        if text.expert is None:
            return None
        by_model = dict(zip(self.models, experts, strict=True))
        name = by_model.get(text.expert, text.expert)
        if name not in experts:
            fix = nearest(text.expert, [*experts, *self.models])
            raise UnknownName(f"`{text.expert}` is none of the models.", where=self.tasks, fix=fix)
        return name


_SPLITS: tuple[Split, ...] = ("validation", "test")


def read_tasks(path: Path) -> TasksText:
    """Read the file of tasks.

    Raises:
        RecipeError: it cannot be read, or is not of the form above.
    """
    from ruamel.yaml import YAML, YAMLError

    try:
        return TasksText.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise RecipeError("The file of tasks cannot be read.", where=path, got=str(error)[:200]) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError("The file of tasks is wrong.", where=f"{path} {place}", got=first["msg"]) from None


def metric_of(text: TaskText, rows: Rows) -> Metric:
    """The metric of a task: as given, else by what its items are.

    Raises:
        BadParameter: the metric does not suit the items.
    """
    labelled = "label" in rows[0]
    metric = text.metric or ("accuracy" if labelled else "exact_match")
    if labelled != (metric == "accuracy"):
        want = "accuracy for text and label, exact_match or loss for prompt and answer"
        raise BadParameter(f"`metric` of {text.name} does not suit its items.", got=metric, want=want)
    return metric


def kind_of(items: Sequence[tuple[TaskText, Rows]]) -> Literal["labels", "answers"]:
    """What all tasks ask for.

    Raises:
        BadParameter: some ask for labels, some for answers.
    """
    kinds = {"labels" if "label" in rows[0] else "answers" for _, rows in items}
    if len(kinds) > 1:
        raise BadParameter("Tasks of labels and of answers are mixed.", fix="compare them in two runs")
    return "labels" if kinds == {"labels"} else "answers"


def _split(file: Path, text: TaskText, split: Split) -> Rows:
    """Items of a split: of a file of its own, else every other line."""
    if text.validation is not None:
        return _read_rows(file.parent / (text.validation if split == "validation" else text.data))
    rows = _read_rows(file.parent / text.data)
    if len(rows) < 2:
        raise RecipeError("A task has too few items.", where=file.parent / text.data, want="two or more")
    return rows[0::2] if split == "validation" else rows[1::2]


def _read_rows(path: Path) -> Rows:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise RecipeError(
            "Items cannot be read.", where=path, got=str(error)[:200], want="one JSON in a line"
        ) from None
    pairs = ({"text", "label"}, {"prompt", "answer"})
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not any(pair <= row.keys() for pair in pairs):
            want = "text and label, or prompt and answer"
            raise RecipeError("An item lacks what a task needs.", where=f"{path} item {number}", want=want)
    if not rows:
        raise RecipeError("A task has no items.", where=path)
    return rows


def _rows_digest(rows: Rows, more: str) -> str:
    text = json.dumps([more, list(rows)], sort_keys=True, ensure_ascii=False)
    return str(hasher().update(text.encode()).hexdigest())


def _loaded(model: str, kind: Literal["labels", "answers"]) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    except ImportError:
        raise MissingExtra("hf", needed_for="a comparison of one's own models") from None
    ref = parse_ref(model)
    maker = AutoModelForSequenceClassification if kind == "labels" else AutoModelForCausalLM
    where = {"revision": ref.revision or "main"}
    return maker.from_pretrained(ref.path, **where).eval(), AutoTokenizer.from_pretrained(ref.path, **where)
