"""Scores by lm-eval, the EleutherAI harness: its tasks, or tasks of one's own in its YAML form (extra `eval`)."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solera.checkpoints import open_checkpoint, parse_ref
from solera.checkpoints.identity import hasher
from solera.errors import CheckpointError, MissingExtra, NotFound, UnknownName, nearest
from solera.evaluate.cache import ScoreCache
from solera.evaluate.contract import Score, mean_and_error
from solera.evaluate.identity import folder_digest
from solera.evaluate.scoring import VERSION


@dataclass(frozen=True, slots=True)
class Asked:
    """How tasks are to be run: items at most, examples shown first, prompts in one pass, device."""

    limit: int | None = None
    fewshot: int | None = None
    batch: int = 8
    device: str = "cpu"


def score_with_harness(
    model: str | Path,
    tasks: Sequence[str],
    *,
    include: str | Path | None = None,
    asked: Asked | None = None,
    cache: ScoreCache | None = None,
) -> tuple[Score, ...]:
    """Score a language model on tasks of lm-eval.

    Args:
        model: folder or Hub id, with at most one adapter as ``model+adapter``; run in the type that its config names.
        tasks: names of tasks or groups; groups are run task by task.
        include: a folder with task definitions (YAML) of one's own.
        asked: limits and sizes.
        cache: where scores are remembered.

    Raises:
        MissingExtra: lm-eval is not installed. UnknownName: no such task. NotFound: no such folder of tasks.
        CheckpointError: the model cannot be loaded.
    """
    asked = asked or Asked()
    with _quiet():
        found = _tasks(tasks, include)
    digest, dtype = folder_digest(model), _dtype(model)
    data = {name: _data_digest(task, asked) for name, task in found.items()}
    known = {name: cache.get(digest, data[name], dtype, VERSION) if cache else () for name in found}
    left = {name: task for name, task in found.items() if not known[name]}
    with _quiet():
        ran = _run(model, left, asked, dtype) if left else {}
    made: dict[str, tuple[Score, ...]] = {}
    for name, (results, seconds) in ran.items():
        reported = _scores(name, results, digest, data[name], dtype)
        made[name] = tuple(replace(row, seconds=seconds) for row in reported)
    for rows in made.values():
        cache.put(rows) if cache else None
    return tuple(row for name in found for row in (known[name] or made[name]))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No bars, logs and deprecations of other libraries between our lines."""
    with contextlib.ExitStack() as quiet:
        quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
        quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
        quiet.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        quiet.callback(logging.disable, logging.NOTSET)
        logging.disable(logging.WARNING)
        yield


def _tasks(names: Sequence[str], include: str | Path | None) -> dict[str, Any]:
    """Task name -> task, with its items loaded."""
    if include is not None and not Path(include).is_dir():
        raise NotFound("There is no such folder of tasks.", where=include)
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise MissingExtra("eval", needed_for="scoring with lm-eval") from None
    own = None if include is None else TaskManager(include_path=str(include), include_defaults=False)
    if own is not None and all(name in own.all_tasks for name in names):
        return dict(own.load(list(names))["tasks"])
    manager = TaskManager(include_path=None if include is None else str(include))  # reads some 14,000 definitions
    check_names(names, manager.all_tasks)
    return dict(manager.load(list(names))["tasks"])


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what is no task.

    Raises:
        UnknownName: the first unknown name, with the nearest known one.
    """
    for name in names:
        if name not in known:
            near = nearest(name[:80], known)
            fix = near if near.startswith("did you mean") else "list them: lm-eval ls tasks"
            raise UnknownName(f"lm-eval has no task `{name[:80]}`.", fix=fix)


def _dtype(model: str | Path) -> str:
    config = open_checkpoint(str(model)).config
    return str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")


def _data_digest(task: Any, asked: Asked) -> str:
    """Digest of all that a task feeds a model: its definition, its items, how many of them, and after what examples."""
    from importlib.metadata import version

    settings = {key: value for key, value in task.dump_config().items() if key != "metadata"}
    digest = hasher().update(json.dumps([version("lm-eval"), asked.limit, asked.fewshot]).encode())
    digest.update(json.dumps(settings, sort_keys=True, default=_name_of).encode())
    for doc in task.eval_docs:
        digest.update(json.dumps(doc, sort_keys=True, default=str).encode())
    return str(digest.hexdigest())


def _name_of(value: Any) -> str:
    """A function's name, which does not change from run to run as its address does."""
    return str(getattr(value, "__qualname__", type(value).__name__))


def _run(
    model: str | Path, tasks: Mapping[str, Any], asked: Asked, dtype: str
) -> dict[str, tuple[Mapping[str, Any], float]]:
    """Task name -> what lm-eval reports of it, and the seconds that it took; the model is loaded once."""
    from lm_eval.models.huggingface import HFLM

    ref = parse_ref(str(model))
    if len(ref.loras) > 1:
        raise CheckpointError("lm-eval takes one adapter.", where=model, fix="merge the adapters first")
    sizes: dict[str, Any] = {"dtype": dtype, "device": asked.device, "batch_size": asked.batch}
    try:
        adapter = {"peft": ref.loras[0].path} if ref.loras else {}
        loaded = HFLM(pretrained=ref.path, revision=ref.revision or "main", **sizes, **adapter)
    except (OSError, ValueError, KeyError) as error:
        got = str(error).splitlines()[0][:200]
        raise CheckpointError("The model cannot be loaded.", where=model, got=got) from error
    if asked.fewshot is not None:
        for task in tasks.values():
            task.set_config(key="num_fewshot", value=asked.fewshot)
    return {name: _timed(loaded, name, task, asked.limit) for name, task in tasks.items()}


def _timed(loaded: Any, name: str, task: Any, limit: int | None) -> tuple[Mapping[str, Any], float]:
    from lm_eval.evaluator import evaluate

    plain = {"tasks": {name: task}, "groups": {}, "group_map": {}}
    began = time.perf_counter()
    found = dict(evaluate(loaded, plain, limit=limit, bootstrap_iters=0))  # type: ignore[arg-type]
    return found, time.perf_counter() - began


def _scores(task: str, results: Mapping[str, Any], model: str, data: str, dtype: str) -> Iterator[Score]:
    """One record for each metric that lm-eval reports of a task."""
    rows, samples = results["results"][task], results["samples"][task]
    higher = results["higher_is_better"].get(task, {})
    for key, value in rows.items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith("_stderr"):
            continue
        each = _numbers([row.get(metric) for row in samples if row["filter"] == filtered])
        stderr = rows.get(f"{metric}_stderr,{filtered}")
        yield Score(
            model=model,
            task=task,
            data=data,
            metric=metric if filtered == "none" else key,
            value=float(value),
            error=float(stderr) if isinstance(stderr, float) else mean_and_error(each)[1],
            items=int(rows.get("sample_len") or len(samples)),
            higher=bool(higher.get(metric, True)),
            dtype=dtype,
            version=VERSION,
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            each=each,
        )


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    """The numbers of all items; empty where a metric is no mean over items."""
    plain = all(isinstance(value, (bool, int, float)) for value in values)
    return tuple(float(value) for value in values) if plain else ()
