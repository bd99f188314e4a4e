"""The mergekit dialect, lowered to values: nodes, slices, modules, and who is the base."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from solera import registry
from solera.checkpoints.remote.address import without_secrets
from solera.recipe.assumed import assumed_card
from solera.recipe.findings import Findings, Place
from solera.recipe.linking import Linker
from solera.recipe.mergekit_schema import Document, InputForm, ModuleForm, PathForm, RefForm, SliceForm, SourceForm
from solera.recipe.mergekit_settings import REQUIRED, dialect_settings
from solera.recipe.parts import half_open
from solera.recipe.reading import attempt
from solera.recipe.references import parse_lora, parse_model
from solera.recipe.text import Path
from solera.recipe.tokens import UNREADABLE
from solera.recipe.values import Merge, Operand, Setting, Slice
from solera.registry import Card
from solera.types import LoraRef, ModelRef

Model = ModelRef | Merge


@dataclass(frozen=True, slots=True)
class _Job:
    """What every part of one document shares. `base` is the base in the mathematics, `named` the key `base_model`."""

    ctx: Linker
    card: Card | None
    base: Model | None
    named: Model | None
    top: Mapping[str, Setting]

    @property
    def find(self) -> Findings:
        return self.ctx.findings

    @property
    def takes_base(self) -> bool:
        return self.card is not None and self.card.base != "none"


def merge_of(ctx: Linker, body: Document, place: Place) -> Merge:
    """Lower one document."""
    find = ctx.findings
    find.mark(place)
    method = _method(find, body, place)
    card = assumed_card(method, registry.cards())
    named, base_place = None, Place((*place.path, "base_model"), (*place.at, "base"))
    find.mark(base_place)
    if body.base_model is not None:
        named = ref_of(ctx, body.base_model, base_place)
    top = dialect_settings(find, body.parameters, card, place.into("parameters"), per_model=False)
    base = named if card is not None and card.base != "none" else None
    job = _Job(ctx, card, base, named, top)
    variant = "mergekit" if card and "mergekit" in card.variants else None
    node = Merge(method, base=base, parameters=top, variant=variant, name=body.name or "", where=find.where(place.path))
    modules = {
        name: _module(job, node, form, place.into("modules", name))
        for name, form in (body.modules or {}).items()
        if form is not None
    }
    return replace(_filled(job, node, body, place, {}), modules=modules)


def _method(find: Findings, body: Document, place: Place) -> str:
    path = (*place.path, "merge_method")
    find.mark(Place(path, (*place.at, "method")))
    if not body.merge_method and not find.is_spoiled(path):
        keys = find.keys(place.path)
        close = difflib.get_close_matches("merge_method", keys, n=1)
        fix = f"rename `{close[0]}`" if close else "add `merge_method: linear` for an average"
        find.fault(path, "`merge_method` is missing.", want="the name of a method", fix=fix)
    return body.merge_method or ""


def _module(job: _Job, outer: Merge, form: ModuleForm, place: Place) -> Merge:
    job.find.mark(place)
    own = dialect_settings(job.find, form.parameters, job.card, place.into("parameters"), per_model=False)
    node = replace(outer, parameters=own, name="", where=job.find.where(place.path))
    return _filled(job, node, form, place, own)


def _filled(job: _Job, node: Merge, form: ModuleForm, place: Place, own: Mapping[str, Setting]) -> Merge:
    """The node with its models or slices."""
    models, base = _inputs(job, form.models or (), job.base, place.into("models"))
    if base is not None and not models:
        path = (*place.path, "models")
        job.find.fault(path, "The base is the only model.", want="at least one model beside `base_model`")
        job.find.spoil(path)
    if form.models and base is None and not job.takes_base and job.named is not None:
        models = _with_unlisted(job, models, own, place)
    slices = tuple(
        _slice(job, piece, place.into("slices", i)) for i, piece in enumerate(form.slices or ()) if piece is not None
    )
    return replace(node, models=models, slices=slices)


def _with_unlisted(
    job: _Job, models: tuple[Operand, ...], own: Mapping[str, Setting], place: Place
) -> tuple[Operand, ...]:
    """A method that knows no base counts an unlisted `base_model` as one more model, where it can."""
    named, card = job.named, job.card
    if named is None or card is None or any(o.model == named for o in models):
        return models
    most = card.models[1]
    needed = REQUIRED.get(card.name, ())
    if (most is not None and len(models) >= most) or not all(name in own or name in job.top for name in needed):
        return models
    path = (*place.path[:1], "base_model")
    job.find.warn(path, f"{card.name} knows no base: the unlisted base_model counts as one more model")
    job.find.mark(Place(path, (*place.at, "models", len(models))))
    return (*models, Operand(named))


def _inputs(
    job: _Job, forms: Sequence[InputForm | None], base: Model | None, place: Place
) -> tuple[tuple[Operand, ...], Operand | None]:
    """The operands, and the base's own entry where it is listed (its parameters have no effect)."""
    find, kept = job.find, list[Operand]()
    found: Operand | None = None
    for i, form in enumerate(forms):
        here = Place((*place.path, i), (*place.at, len(kept)))
        if form is None or form.model is None:
            if not find.is_spoiled(here.path):
                find.fault(here.path, "`model` is missing.", want="a model")
            continue
        model = ref_of(job.ctx, form.model, here.text("model").value("model"))
        layers = _layers(find, form, here.path)
        if any(model == o.model for o in (*kept, *([found] if found else []))):
            find.warn(here.path, "the model is listed twice; only its first entry counts")
        elif base is not None and model == base:
            found = Operand(model, layers=layers)
        else:
            find.mark(here)
            own = dialect_settings(find, form.parameters, job.card, here.into("parameters"), per_model=True)
            kept.append(Operand(model, own, layers))
    return tuple(kept), found


def _layers(find: Findings, form: InputForm, path: Path) -> tuple[int, int] | None:
    if not isinstance(form, SourceForm):
        return None
    if form.layer_range is None:
        if not find.is_spoiled((*path, "layer_range")):
            find.fault(path, "`layer_range` is missing.", want="[first, end) with 0 <= first <= end")
        return None
    raw = form.layer_range
    return attempt(find, (*path, "layer_range"), lambda: half_open(raw))


def _slice(job: _Job, form: SliceForm, place: Place) -> Slice:
    job.find.mark(place)
    own, base = None, job.base
    if form.base_model is not None and job.takes_base:
        own = base = ref_of(job.ctx, form.base_model, Place((*place.path, "base_model"), (*place.at, "base", "model")))
    sources, listed = _inputs(job, form.sources or (), base, place.into("sources"))
    if not sources and listed is None and not job.find.is_spoiled((*place.path, "sources")):
        job.find.fault(place.path, "A slice has no `sources`.", want="a list of models with their layers")
    parameters = dialect_settings(job.find, form.parameters, job.card, place.into("parameters"), per_model=False)
    return Slice(sources, listed or (Operand(own) if own is not None else None), parameters)


# ── references ──────────────────────────────────────────────────────────────────────────────────────────────────────


def ref_of(ctx: Linker, form: str | RefForm, place: Place) -> Model:
    """Lower a reference: the name of a document, the short form, or a mapping."""
    text = form if isinstance(form, str) else _bare(form)
    if text is not None and (merge := ctx.named(text, place)) is not None:
        return merge
    if isinstance(form, str):
        return attempt(ctx.findings, place.path, lambda: parse_model(form)) or UNREADABLE
    if form.override_architecture is not None:
        ctx.findings.warn((*place.path, "override_architecture"), "`override_architecture` is ignored")
    ref = _model_part(ctx.findings, form, place.path)
    lora = form.lora
    if lora is None:
        return ref
    adapter = attempt(ctx.findings, (*place.path, "lora"), lambda: _lora(lora))
    return replace(ref, loras=(*ref.loras, adapter)) if adapter else ref


def _bare(form: RefForm) -> str | None:
    """The path, where a mapping says nothing else."""
    inner = form.model
    if form.lora is not None or form.revision is not None or getattr(inner, "revision", None) is not None:
        return None
    return inner if isinstance(inner, str) else inner.path if isinstance(inner, PathForm) else form.path


def _model_part(find: Findings, form: RefForm, path: Path) -> ModelRef:
    inner: Any = form.model
    if isinstance(inner, str):
        return attempt(find, (*path, "model"), lambda: parse_model(inner)) or UNREADABLE
    place = inner or form
    if not place.path and not find.is_spoiled(path):
        find.fault(path, "The model has no `path`.", want="{model: {path: ..., revision: ...}, lora: ...}")
    return ModelRef(without_secrets(place.path or "?"), place.revision)


def _lora(form: str | PathForm) -> LoraRef:
    return parse_lora(form) if isinstance(form, str) else LoraRef(form.path or "?", form.revision)
