"""Finding the sketch of a model against a base: in files that were named, in the catalog, in the user's cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from solera import catalog
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.sketch import Sketch, SketchKey, unpack
from solera.checkpoints.sketch_files import cache_folder, file_for, listed, read_sketch
from solera.errors import PlanError, SoleraError
from solera.types import DType


class NoSketch(PlanError):
    """There is no sketch of a model as it is now, against the base as it is now."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A sketch and the place where it was found."""

    sketch: Sketch
    place: str


def key_of(model: Checkpoint, base: Checkpoint) -> SketchKey:
    """What a sketch of these two is known by."""
    sizes: Counter[DType] = Counter()
    for spec in model.specs.values():
        sizes[spec.dtype] += spec.nbytes
    dtype = sizes.most_common(1)[0][0].value if sizes else ""
    view = "+".join(f"{lora.path}@{lora.revision or ''}*{lora.weight:g}" for lora in model.ref.loras)
    return SketchKey(model.weak_id, base.weak_id, dtype, view)


def find(model: Checkpoint, base: Checkpoint, places: Sequence[Path] = ()) -> Kept | None:
    """The sketch of a model against a base, or None.

    Args:
        model: as it is now; its weak id is part of the key, so that a sketch of other bytes is never taken.
        base: likewise.
        places: sketch files, or folders of them, that are looked through first.

    Raises:
        NotFound, CorruptFile: a file that was named is not there, or no sketch.
    """
    key = key_of(model, base)
    for path, found, _, _ in listed(places):
        if found == key:
            return Kept(read_sketch(path), str(path))
    return _in_catalog(key) or _in_cache(key, str(model.ref))


def _in_cache(key: SketchKey, model: str) -> Kept | None:
    path = file_for(cache_folder(), key, model)
    if not path.is_file():
        path = next((p for p, found, _, _ in listed(_cached()) if found == key), path)
    return Kept(read_sketch(path), str(path)) if path.is_file() else None


def _cached() -> list[Path]:
    """The folder of the cache, where there is one."""
    return [cache_folder()] if cache_folder().is_dir() else []


def _in_catalog(key: SketchKey) -> Kept | None:
    """From the catalog, where there is one; its trouble is no reason to stop."""
    try:
        where = catalog.place() if catalog.has_extra() else None
        if where is None or (where.path is not None and not where.path.exists()):
            return None
        with catalog.open_catalog(where) as opened:
            row = opened.sketch(model=key.model, base=key.base, dtype=key.dtype, view=key.view)
        return None if row is None else Kept(unpack(row[0], where=str(where)), str(where))
    except SoleraError:
        return None


def missing(model: Checkpoint, base: Checkpoint, places: Sequence[Path] = ()) -> NoSketch:
    """The error for a sketch that is not there: it says whether one of older bytes, or against another base, is."""
    name, key = str(model.ref), key_of(model, base)
    others = [
        (path, found, to)
        for path, found, of, to in listed([*places, *_cached()])
        if found.model == key.model or _same(of, name)
    ]
    fix = f"solera analyze {name} --base {base.ref}"
    stale = next((o for o in others if o[1].model != key.model and _same(o[2], str(base.ref))), None)
    if stale is not None:
        return NoSketch("The sketch is stale: the model has changed since it was made.", where=stale[0],
                        got=f"a sketch of {name} with the id {stale[1].model[:12]}", want=f"the id {key.model[:12]}",
                        fix=fix)  # fmt: skip
    if others:
        path, _found, to = others[0]
        why = "which has changed since" if _same(to, str(base.ref)) else f"not to {base.ref}"
        return NoSketch("The sketch is of another base.", where=path, got=f"the difference of {name} to {to}, {why}",
                        want=f"the difference to the base with the id {key.base[:12]}", fix=fix)  # fmt: skip
    older = _older_in_catalog(model)
    if older:
        return NoSketch("The sketch is stale: the model has changed since it was made.", where=older[1],
                        got=f"a sketch of {name} with the id {older[0][:12]}", want=f"the id {key.model[:12]}",
                        fix=fix)  # fmt: skip
    return NoSketch("A budget needs a sketch of this model.", where=name, got="none", fix=fix)


def _same(left: str, right: str) -> bool:
    return left == right or Path(left).absolute() == Path(right).absolute()


def _older_in_catalog(model: Checkpoint) -> tuple[str, str] | None:
    """(model id, place) of a sketch in the catalog whose model lay in the same folder."""
    try:
        where = catalog.place() if catalog.has_extra() else None
        if where is None or model.folder is None or (where.path is not None and not where.path.exists()):
            return None
        import sqlalchemy as sa

        asked = "SELECT s.model FROM sketches s JOIN models m ON m.id = s.model WHERE m.folder = :folder"
        with catalog.open_catalog(where) as opened, opened.connected() as connection:
            row = connection.execute(sa.text(asked), {"folder": str(model.folder.absolute())}).first()
        return None if row is None else (str(row[0]), str(where))
    except SoleraError:
        return None
