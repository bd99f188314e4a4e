"""The native form's models: references, adapters, merges in the place of a model, and their parameters."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from solera.checkpoints.remote.address import without_secrets
from solera.checkpoints.statistics import ACCEPTED
from solera.errors import nearest
from solera.recipe.checkpoint_folder import checkpoints_in
from solera.recipe.findings import Findings, Place
from solera.recipe.linking import Linker
from solera.recipe.parts import half_open, layer_range
from solera.recipe.reading import attempt, settings_of
from solera.recipe.references import parse_lora, parse_model
from solera.recipe.schema import EntriesLike, EntryForm, FolderForm, MapForm, ModelForm, SourceForm, StatisticsLike
from solera.recipe.text import Path
from solera.recipe.tokens import UNREADABLE
from solera.recipe.values import LeafMap, Merge, Operand
from solera.types import LoraRef, ModelRef

PLACEHOLDERS = re.compile(r"\{\w+\}")

_MODEL_KEYS = ("model", "path", "merge", "revision", "lora", "loras", "subfolder")


def model_of(ctx: Linker, form: str | ModelForm, place: Place) -> ModelRef | Merge:
    """Lower one model: the name of a document, a reference, or a merge of its own."""
    text = form if isinstance(form, str) else _short(form)
    if text is not None and (merge := ctx.named(text, place)) is not None:
        return merge
    if isinstance(form, str):
        return attempt(ctx.findings, place.path, lambda: parse_model(form)) or UNREADABLE
    chosen = [key for key in ("model", "path", "merge") if getattr(form, key) is not None]
    if len(chosen) != 1:
        if not ctx.findings.is_spoiled(place.path):
            got = ", ".join(chosen) or "none of them"
            ctx.findings.fault(place.path, "A model needs one of `model`, `path` and `merge`.", got=got)
            ctx.findings.spoil(place.path)
        return UNREADABLE
    if form.merge is not None:
        return _inner(ctx, form, place)
    return _reference(ctx.findings, form, place.path)


def _short(form: ModelForm) -> str | None:
    """The text of `model`, where nothing else is said about the model."""
    given = {key for key in _MODEL_KEYS if getattr(form, key) is not None}
    return form.model if given == {"model"} else None


def _inner(ctx: Linker, form: ModelForm, place: Place) -> ModelRef | Merge:
    for key in ("revision", "lora", "loras", "subfolder"):
        if getattr(form, key) is not None:
            ctx.findings.fault((*place.path, key), f"`{key}` does not go with `merge`.", fix="put it on a model")
    if ctx.lower is None or not ctx.enter(place):
        return UNREADABLE
    return ctx.lower(form.merge, place.text("merge"))


def _reference(find: Findings, form: ModelForm, path: Path) -> ModelRef:
    ref = ModelRef(without_secrets(form.path or ""))
    if form.model is not None:
        text = form.model
        ref = attempt(find, (*path, "model"), lambda: parse_model(text)) or UNREADABLE
    if not ref.path:
        find.fault(path, "The model's path is empty.", want="a folder, a file or a Hub id")
    if form.revision is not None and ref.revision is not None:
        find.fault((*path, "revision"), "The revision is given twice.", got=f"{ref.revision} and {form.revision}")
    loras = (*ref.loras, *_loras(find, form, path))
    return ModelRef(ref.path, form.revision or ref.revision, loras, form.subfolder)


def _loras(find: Findings, form: ModelForm, path: Path) -> list[LoraRef]:
    one: list[tuple[Path, Any]] = [(("lora",), form.lora)]
    many: list[tuple[Path, Any]] = [(("loras", i), lora) for i, lora in enumerate(form.loras or ())]
    return [_lora(find, item, (*path, *key)) for key, item in one + many if item is not None]


def _lora(find: Findings, item: Any, path: Path) -> LoraRef:
    if isinstance(item, str):
        return attempt(find, path, lambda: parse_lora(item)) or LoraRef("?")
    if not item.path and not find.is_spoiled(path):
        find.fault(path, "The adapter has no `path`.", want="{path: ..., revision: ..., weight: ...}")
    return LoraRef(without_secrets(item.path or "?"), item.revision, 1.0 if item.weight is None else item.weight)


def operands_of(ctx: Linker, entries: EntriesLike, place: Place) -> tuple[Operand, ...]:
    """Lower `models`, a list, a mapping by label, or a folder of checkpoints; `place` is that of the key."""
    if isinstance(entries, FolderForm):
        return _checkpoints(ctx, entries, place)
    if isinstance(entries, dict):
        return tuple(
            _labelled(ctx, key, entry, Place((*place.path, key), (*place.at, i)))
            for i, (key, entry) in enumerate(entries.items())
        )
    for i, entry in enumerate(entries or ()):
        if entry is None and not ctx.findings.is_spoiled((*place.path, i)):
            ctx.findings.fault((*place.path, i), "An entry of `models` is empty.", want="a model")
    return tuple(
        operand_of(ctx, EntryForm(path="?") if entry is None else entry, place.into(i))
        for i, entry in enumerate(entries or ())
    )


def _checkpoints(ctx: Linker, form: FolderForm, place: Place) -> tuple[Operand, ...]:
    """The checkpoints of a run, one operand each; the recipe's digest is of the list that is found."""

    def find() -> tuple[str, ...]:
        return checkpoints_in(form.folder or "", form.pattern or "checkpoint-*", last=form.last, every=form.every or 1)

    found = () if ctx.findings.is_spoiled(place.path) else attempt(ctx.findings, place.path, find) or ()
    for i in range(len(found)):
        ctx.findings.mark(Place(place.path, (*place.at, i)))
    return tuple(Operand(ModelRef(path)) for path in found)


def _labelled(ctx: Linker, key: str, entry: str | EntryForm | None, place: Place) -> Operand:
    """An entry of the mapping form: the key is the label, or the model itself where the entry names none."""
    form = EntryForm(model=entry) if isinstance(entry, str) else entry or EntryForm()
    if form.model is None and form.path is None and form.merge is None:
        return operand_of(ctx, form.model_copy(update={"model": key}), place)
    return operand_of(ctx, form.model_copy(update={"label": form.label or key}), place)


def operand_of(ctx: Linker, entry: str | EntryForm, place: Place) -> Operand:
    """Lower one model of a merge or slice with its parameters."""
    find = ctx.findings
    find.mark(place)
    model = model_of(ctx, entry, place.value("model"))
    if isinstance(entry, str):
        return Operand(model)
    inline, nested = dict(entry.model_extra or {}), entry.parameters or {}
    for name in sorted(set(inline) & set(nested)):
        find.fault((*place.path, name), f"`{name}` is given twice.", want="beside the model, or under `parameters`")
    parameters = {
        **settings_of(find, inline, place.value("parameters")),
        **settings_of(find, nested, place.into("parameters")),
    }
    leaf_map = None if entry.map is None else _map_of(find, entry.map, (*place.path, "map"))
    measured = statistics_of(find, entry.statistics, (*place.path, "statistics"))
    operand = Operand(model, parameters, label=entry.label or "", map=leaf_map, statistics=measured)
    return replace(operand, layers=_layers_of(find, entry, place.path)) if isinstance(entry, SourceForm) else operand


def statistics_of(find: Findings, form: StatisticsLike, path: Path) -> dict[str, str]:
    """Read where statistics lie: a folder of all kinds, under ``*``, or a place for each kind."""
    if isinstance(form, str):
        return {"*": form}
    for kind, place in (form or {}).items():
        if not place:
            find.fault((*path, kind), f"`{kind}` has no place.", want="a file, or a folder that holds it")
        elif kind != "*" and kind not in ACCEPTED:
            find.fault((*path, kind), f"There is no statistic `{kind}`.", fix=nearest(kind, ACCEPTED))
    return {kind: place for kind, place in (form or {}).items() if place}


def _map_of(find: Findings, form: MapForm, path: Path) -> LeafMap:
    rows: list[tuple[str, tuple[str, ...]]] = []
    for source, targets in (form.names or {}).items():
        found = (targets,) if isinstance(targets, str) else tuple(targets or ())
        if not found and not find.is_spoiled((*path, "names", source)):
            find.fault(
                (*path, "names", source), f"`{source}` is mapped to nothing.", fix="remove it: it then takes no part"
            )
        for target in found:
            _check_template(find, source, target, (*path, "names", source))
        rows.append((source, found))
    layers = tuple(form.layers) if isinstance(form.layers, list) else form.layers or "same"
    return LeafMap(tuple(rows), layers)


def _check_template(find: Findings, source: str, target: str, path: Path) -> None:
    """Every placeholder of a target holds something of its source."""
    strays = sorted(set(PLACEHOLDERS.findall(target)) - set(PLACEHOLDERS.findall(source)))
    if strays or target.count("*") > source.count("*"):
        got = ", ".join(strays) or "*"
        find.fault(path, f"`{target}` has a placeholder that `{source}` lacks.", got=got)


def _layers_of(find: Findings, form: SourceForm, path: Path) -> tuple[int, int] | None:
    """The half-open range of a slice's source."""
    if form.layers is not None and form.layer_range is not None:
        find.fault((*path, "layers"), "The layers are given twice.", want="`layers` or `layer_range`")
    if form.layer_range is not None:
        raw = form.layer_range
        return attempt(find, (*path, "layer_range"), lambda: half_open(raw))
    found = inclusive_layers(find, form.layers, (*path, "layers"))
    return None if found is None else (found[0], found[1] + 1)


def inclusive_layers(find: Findings, raw: str | int | list[int] | None, path: Path) -> tuple[int, int] | None:
    """Read `layers`, both ends included."""
    return None if raw is None else attempt(find, path, lambda: layer_range(raw))
