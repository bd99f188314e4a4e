"""analyze: sketch models against their base in one streaming pass, so that budgets know what to read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from solera import catalog
from solera.app.analyzing_leaves import Pair, Sketching, pairs_of
from solera.checkpoints import FileReader, open_checkpoint, parse_ref
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.sketch import LeafSketch, Sketch, SketchKey, pack
from solera.checkpoints.sketch_files import (
    append_leaf,
    cache_folder,
    file_for,
    part_file,
    read_sketch,
    waiting_leaves,
    write_bytes,
)
from solera.errors import BadParameter, Interrupted, SoleraError
from solera.execute.kinship import FAR
from solera.plan.budget_sketches import find, key_of
from solera.types import CELL, Event

AT_ONCE = 8
"""Models that are read beside one reading of the base."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of one model's difference to its base.

    Attributes:
        model, base: as they were named. place: where the sketch is kept.
        known: it was there already, and nothing was read.
        leaves, blocks: that it speaks of. nbytes: its size.
        norm, base_norm: Frobenius norms of the difference and of the base, over those leaves.
        unchanged: share of elements that are the base's. exact: share of leaves whose magnitudes are counted exactly.
        left_out: leaves of the model without a counterpart in the base: number of them.
        bytes_read: of this run, shared with the models analysed beside it. seconds: likewise.
        notes: what deserves attention.
    """

    model: str
    base: str
    place: str
    known: bool
    leaves: int
    blocks: int
    nbytes: int
    norm: float
    base_norm: float
    unchanged: float
    exact: float
    left_out: int
    bytes_read: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """A model to be sketched: opened, its key, the file (None: the catalog) and where finished leaves wait."""

    checkpoint: Checkpoint
    key: SketchKey
    file: Path | None
    part: Path


def analyze(
    models: Sequence[str | Path],
    base: str | Path,
    *,
    out: str | Path | None = None,
    threads: int | None = None,
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[Analysis, ...]:
    """Sketch models against a base: one pass over each model, and one over the base for up to 8 models.

    Args:
        models: folders, files, Hub ids, with adapters or without.
        base: that the differences are taken to.
        out: a folder for the sketches (or, for one model, a file that ends in ``.sketch``); default the catalog or,
            without the extra `catalog`, the user's cache.
        threads: workers; default the cores of this machine.
        force: also sketch what is sketched already.
        on_event: receives progress events, from any thread.

    Cost: one reading of the models and the base, some bytes for every block of 65,536 elements; a stopped run goes on
        where it was when it is called again.

    Raises:
        CheckpointError: a model cannot be opened. BadParameter: no models, or one file for several.
        NonFinite: a model or the base holds NaN or infinity. Interrupted: stopped; what is finished is kept.
    """
    began = time.monotonic()
    place = None if out is None else Path(out)
    if not models or (place is not None and place.name.endswith(".sketch") and len(models) > 1):
        what = "`out` names one file for several models." if models else "There is nothing to analyse."
        raise BadParameter(what, got=f"{len(models)} models", fix="solera analyze MODEL... --base BASE [--out FOLDER]")
    origin = open_checkpoint(parse_ref(str(base)))
    listener = on_event or (lambda _event: None)
    targets = [_target(open_checkpoint(parse_ref(str(model))), origin, place) for model in models]
    known = [] if force else [(t, kept) for t in targets if (kept := _known(t, origin, place)) is not None]
    found = {id(t): kept for t, kept in known}
    waiting = [t for t in targets if id(t) not in found]
    with FileReader() as reader:
        for group in (waiting[i : i + AT_ONCE] for i in range(0, len(waiting), AT_ONCE)):
            for target, sketch in _sketched(group, origin, reader, threads or os.cpu_count() or 1, listener):
                found[id(target)] = (sketch, _keep(target, sketch, listener))
        taken = reader.bytes_read, time.monotonic() - began
    return tuple(_analysis(t, origin, found[id(t)], taken if t in waiting else None) for t in targets)


def _target(checkpoint: Checkpoint, base: Checkpoint, place: Path | None) -> _Target:
    key = key_of(checkpoint, base)
    usual = file_for(cache_folder(), key, str(checkpoint.ref))
    file = file_for(place, key, str(checkpoint.ref)) if place is not None else None if _cataloged() else usual
    return _Target(checkpoint, key, file, part_file(file or usual))


def _cataloged() -> bool:
    return catalog.has_extra() and catalog.place() is not None


def _known(target: _Target, base: Checkpoint, place: Path | None) -> tuple[Sketch, str] | None:
    """The sketch that is there already: in the file asked for or, where none is, wherever it is found."""
    if place is None:
        kept = find(target.checkpoint, base)
        return None if kept is None else (kept.sketch, kept.place)
    assert target.file is not None
    try:
        sketch = read_sketch(target.file)
    except SoleraError:
        return None
    return (sketch, str(target.file)) if sketch.key == target.key else None


def _sketched(
    group: Sequence[_Target], base: Checkpoint, reader: FileReader, threads: int, listener: Callable[[Event], None]
) -> Iterator[tuple[_Target, Sketch]]:
    """The sketches of some models, all read beside the base; finished leaves are kept as they come."""
    heads = [Sketch(t.key, str(t.checkpoint.ref), str(base.ref), CELL, {}) for t in group]
    leaves: list[dict[str, LeafSketch]] = [waiting_leaves(t.part, t.key, CELL) for t in group]
    pairs = [pairs_of(t.checkpoint, base) for t in group]

    def finished(k: int, leaf: LeafSketch) -> None:
        append_leaf(group[k].part, heads[k], leaf)
        leaves[k][leaf.leaf] = leaf

    todo: dict[str, list[tuple[int, Pair]]] = {}
    for k, found in enumerate(pairs):
        for name, pair in found.items():
            if name not in leaves[k]:
                todo.setdefault(name, []).append((k, pair))
    try:
        Sketching(reader, threads, listener, finished).run(list(todo.values()))
    except KeyboardInterrupt:
        fix = "run the same command again to go on"
        raise Interrupted("stopped; the leaves that are finished are kept.", fix=fix) from None
    for k, target in enumerate(group):
        ordered = {name: leaves[k][name] for name in pairs[k]}
        yield target, Sketch(heads[k].key, heads[k].model, heads[k].base, CELL, ordered)


def _keep(target: _Target, sketch: Sketch, listener: Callable[[Event], None]) -> str:
    """Store a finished sketch; where the catalog cannot be used, in the cache."""
    content = pack(sketch)
    place = str(target.file)
    if target.file is None:
        try:
            place = _to_catalog(target, sketch, content)
        except SoleraError as error:
            file = file_for(cache_folder(), target.key, str(target.checkpoint.ref))
            listener(Event("warning", "catalog", catalog.mask(f"{error.fault.what} The sketch is in {file}.")))
            write_bytes(file, content)
            place = str(file)
    else:
        write_bytes(target.file, content)
    target.part.unlink(missing_ok=True)
    return place


def _to_catalog(target: _Target, sketch: Sketch, content: bytes) -> str:
    from solera.app.recording import _model

    where = catalog.place()
    with catalog.open_catalog(where) as opened:
        opened.add(catalog.rows_of_model(_model(str(target.checkpoint.ref), target.checkpoint)))
        key = {"model": target.key.model, "base": target.key.base, "dtype": target.key.dtype, "view": target.key.view}
        opened.put_sketch(content, **key, digest=sketch.digest)
    return str(where)


def _analysis(target: _Target, base: Checkpoint, kept: tuple[Sketch, str], taken: tuple[int, float] | None) -> Analysis:
    sketch, place = kept
    leaves = list(sketch.leaves.values())
    norm, length = sketch.squares**0.5, sum(leaf.base_squares for leaf in leaves) ** 0.5
    numel = sum(leaf.numel for leaf in leaves)
    left = len(pairs_of(target.checkpoint, base, lone=True))
    far = [f"far from the base: the difference is {norm / length:.1f} times as long"] if norm > FAR * length else []
    alone = [f"{left} leaves have no counterpart in the base, and must be read whole"] if left else []
    return Analysis(
        model=str(target.checkpoint.ref),
        base=str(base.ref),
        place=place,
        known=taken is None,
        leaves=len(leaves),
        blocks=sum(leaf.squares.size for leaf in leaves),
        nbytes=len(pack(sketch)),
        norm=norm,
        base_norm=length,
        unchanged=sum(leaf.zeros for leaf in leaves) / max(1, numel),
        exact=sum(leaf.shift == 0 for leaf in leaves) / max(1, len(leaves)),
        left_out=left,
        bytes_read=0 if taken is None else taken[0],
        seconds=0.0 if taken is None else taken[1],
        notes=(*far, *alone),
    )
