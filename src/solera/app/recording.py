"""What a merge leaves in the catalog, and what manifests give back to it.

Recording never stops, slows or loses a merge: whatever goes wrong becomes a warning.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from solera import catalog
from solera.catalog import Input, Merge, Model, Tensor
from solera.checkpoints.remote.address import is_address
from solera.errors import CorruptFile, NotFound, SoleraError
from solera.reconcile import MANIFEST, RECIPE_FILE
from solera.types import DType, Event
from solera.version import __version__

if TYPE_CHECKING:
    from solera.app.report import MergeReport
    from solera.plan.tasks import Plan

_SKIPPED = {"left_out", "out", "files"}
"""Of a report: what the manifest has, and what would make the record large."""


def record(planned: Plan, report: MergeReport, listener: Callable[[Event], None]) -> None:
    """Append a finished merge to the catalog; trouble is a warning event, and nothing else.

    Without the extra `catalog`, and with ``SOLERA_CATALOG=off``, nothing is done.
    Cost: at most 50 ms for models of up to some thousand tensors (`benchmarks/catalog.py`).
    """
    try:
        where = catalog.place() if catalog.has_extra() else None
        warning = "" if where is None else catalog.record(where, catalog.rows_of_merge(_made(planned, report)))
    except SoleraError as error:
        warning = f"{error.fault.what} {error.fault.got} {LATER.format(report.out)}"
    except Exception as error:  # noqa: BLE001 - the merge is done, whatever becomes of the memory of it
        warning = f"The merge is not in the catalog ({type(error).__name__}). {LATER.format(report.out)}"
    if warning:
        listener(Event("warning", "catalog", catalog.mask(warning)))


LATER = "The merge itself is complete; to record it later run: solera catalog rebuild {}"


def record_scores(model: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """Append scores (fields of `solera.evaluate.Score`) of an evaluated model; returns a warning, or nothing."""
    try:
        where = catalog.place() if catalog.has_extra() else None
        if where is None or not scores:
            return ""
        rows = dict(catalog.rows_of_scores(scores))
        return catalog.record(where, {**rows, "models": _scored(model, str(scores[0]["model"]))})
    except (SoleraError, OSError) as error:
        return catalog.mask(f"the scores are not in the catalog: {error}")


def _scored(name: str, digest: str) -> list[dict[str, Any]]:
    """The row that joins a model's weak id to the digest that its scores are kept under."""
    from solera.checkpoints import open_checkpoint

    opened = open_checkpoint(name)
    return catalog.rows_of_model(_model(name, opened, strong_id=digest))["models"]


def made_by(folder: str | Path) -> dict[str, Any]:
    """Which recipe and which inputs made a folder: answered from the folder alone, without a catalog.

    Returns:
        ``{"folder", "solera", "result", "plan", "recipe": {"digest", "dialect", "seed", "text"}, "inputs": [{"model",
        "role", "weak_id"}], "counts", "notes"}``.

    Raises:
        NotFound: the folder has no manifest. CorruptFile: the manifest cannot be read.
    """
    folder = Path(folder)
    found = _manifest(folder)
    recipe = {**found["recipe"], "text": _text(folder / RECIPE_FILE)}
    kept = {key: found.get(key) for key in ("solera", "result", "plan", "inputs", "counts", "notes")}
    return {"folder": str(folder.absolute()), **kept, "recipe": recipe}


def rebuild(folders: Iterable[str | Path]) -> Iterator[tuple[Path, Merge | SoleraError]]:
    """Read all manifests in and under folders: each merged folder with its facts, or with what is wrong with it."""
    for root in map(Path, folders):
        if not root.exists():
            yield root, NotFound("There is no such folder.", where=root)
        for file in sorted(root.rglob(MANIFEST)) if root.is_dir() else ():
            try:
                yield file.parent, facts_of(file.parent)
            except SoleraError as error:
                yield file.parent, error


def ancestry(folder: str | Path) -> list[Merge]:
    """The facts of a merged folder, and of those inputs of it that are merged folders themselves, and so on."""
    waiting, seen, found = [Path(folder).absolute()], set(), []
    while waiting:
        here = waiting.pop()
        if here in seen or not (here / MANIFEST).is_file():
            continue
        seen.add(here)
        made = facts_of(here)
        found.append(made)
        waiting += [Path(each.model.folder) for each in made.inputs if each.model.folder]
    return found


def weak_id_of(text: str) -> str | None:
    """The weak id of a model on this machine; None where `text` names no folder or file."""
    from solera.checkpoints import open_checkpoint

    return open_checkpoint(text).weak_id if Path(text).expanduser().exists() else None


def facts_of(folder: Path) -> Merge:
    """The facts of a merged folder, from its manifest, recipe and headers.

    Raises:
        NotFound: no manifest. CorruptFile: it cannot be read. CheckpointError: the weights cannot be opened.
    """
    from solera.checkpoints import open_checkpoint

    found, opened = _manifest(folder), open_checkpoint(folder)
    made = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC).isoformat(timespec="seconds")
    try:
        return Merge(
            output=_model(folder.name, opened, plan=found["plan"], seen=made),
            folder=str(folder.absolute()),
            host=socket.gethostname(),
            result=found["result"],
            plan=found["plan"],
            recipe=found["recipe"]["digest"],
            inputs=[_recorded_input(row, made) for row in found["inputs"]],
            tensors=[Tensor(n, t["dtype"], tuple(t["shape"]), t["status"]) for n, t in found["tensors"].items()],
            dialect=found["recipe"]["dialect"],
            seed=found["recipe"]["seed"],
            text=_text(folder / RECIPE_FILE),
            solera=found["solera"],
            finished=made,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from None


def _made(planned: Plan, report: MergeReport) -> Merge:
    from solera.checkpoints import open_checkpoint
    from solera.plan.expressions import tasks_of
    from solera.recipe import digest, to_yaml

    now, base = datetime.now(UTC).isoformat(timespec="seconds"), str(planned.recipe.merge.base or "")
    calls = Counter(task.call.title for t in planned.outputs for p in t.parts for task in tasks_of(p.expr))
    cost = {name: getattr(planned.cost, name) for name in ("passes", "read_bytes", "write_bytes", "memory_bytes")}
    return Merge(
        output=_model(PurePath(report.out).name, open_checkpoint(report.out), plan=planned.digest, seen=now),
        folder=str(report.out),
        host=socket.gethostname(),
        result=report.digest,
        plan=planned.digest,
        recipe=digest(planned.recipe),
        inputs=[
            Input(_model(label, opened, seen=now), "base" if label == base else "model", label)
            for label, opened in planned.models.items()
        ],
        tensors=[Tensor(t.name, t.dtype.value, t.shape, t.status) for t in planned.outputs],
        dialect=planned.recipe.dialect,
        seed=planned.recipe.seed,
        text=to_yaml(planned.recipe),
        methods=calls,
        cost=cost,
        solera=__version__,
        finished=now,
        seconds=report.seconds,
        report={key: value for key, value in report.to_json().items() if key not in _SKIPPED},
    )


def _model(
    name: str, opened: Any, *, plan: str | None = None, strong_id: str | None = None, seen: str | None = None
) -> Model:
    """A model as a fact, from its headers."""
    sizes: Counter[DType] = Counter()
    for spec in opened.specs.values():
        sizes[spec.dtype] += spec.nbytes
    return Model(
        id=opened.weak_id,
        name=name,
        folder=None if opened.folder is None or is_address(opened.ref.path) else str(opened.folder.absolute()),
        revision=opened.ref.revision,
        strong_id=strong_id,
        plan=plan or (None if opened.ref.loras else opened.metadata.get("solera_plan")),
        nbytes=sum(sizes.values()),
        tensors=len(opened.specs),
        dtype=sizes.most_common(1)[0][0].value if sizes else None,
        seen=seen or datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _recorded_input(row: Mapping[str, Any], seen: str) -> Input:
    """An input as the manifest has it; what is at its place now is only trusted where the weak id still agrees."""
    name, folder = row["model"], Path(row["model"]).expanduser()
    plain = Model(row["weak_id"], name, revision=row.get("revision"), seen=seen)
    if folder.is_dir():
        from solera.checkpoints import open_checkpoint

        try:
            opened = open_checkpoint(folder)
        except (SoleraError, OSError):
            return Input(plain, row["role"], name)
        if opened.weak_id == row["weak_id"]:
            return Input(_model(name, opened, seen=seen), row["role"], name)
    return Input(plain, row["role"], name)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found["plan"], found["result"], found["recipe"]["digest"], found["inputs"]
    except (FileNotFoundError, NotADirectoryError):
        fix = "name a folder made by `solera merge`"
        raise NotFound("the folder has no manifest.", where=folder / MANIFEST, fix=fix) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None
    return dict(found)


def _damaged(folder: Path, error: Exception) -> CorruptFile:
    return CorruptFile("the manifest cannot be read.", where=folder / MANIFEST, got=error, fix="merge again")


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None
