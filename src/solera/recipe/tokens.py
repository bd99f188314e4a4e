"""Vocabularies and token sources: the same in both dialects but for how a model is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from solera.checkpoints.remote.address import without_secrets
from solera.recipe.findings import Findings
from solera.recipe.text import Path
from solera.recipe.values import Merge, TokenSource
from solera.types import ModelRef

Refer = Callable[[Any, Path], ModelRef]
"""Reads a model where only its files are wanted."""

UNREADABLE = ModelRef("?")
"""Stands for a model that could not be read; the fault is already recorded."""


def donor(model: ModelRef | Merge) -> ModelRef:
    """The model whose config and tokenizer a merge starts from: its base, else its first model.

    Example:
        >>> str(donor(Merge("ties", base=ModelRef("base"))))
        'base'
    """
    if isinstance(model, ModelRef):
        return model
    if model.base is not None:
        return donor(model.base)
    operands = [*model.models, *(o for piece in model.slices for o in piece.sources)]
    inner = [o.model for o in operands] or list(model.modules.values())
    return donor(inner[0]) if inner else UNREADABLE


def vocabulary(form: Any, path: Path, refer: Refer) -> Literal["union", "base"] | ModelRef:
    """Read where the output vocabulary comes from."""
    if form == "union":
        return "union"
    return "base" if form == "base" else refer(form, path)


def tokens_of(find: Findings, forms: Mapping[str, Any], path: Path, refer: Refer) -> dict[str, TokenSource]:
    """Read the exceptions by token; a token without a usable source is a fault."""
    found = {}
    for token, form in forms.items():
        place = (*path, token)
        source = None if form is None or form.source is None else _source(form, (*place, "source"), refer)
        if source is not None:
            found[token] = source
        elif not find.is_spoiled(place):
            want = "a model, {kind: zero}, or {kind: model_token, model: ..., token: ...}"
            find.fault(place, f"The token `{token}` has no usable source.", want=want)
    return found


def _source(form: Any, path: Path, refer: Refer) -> TokenSource | None:
    source, force = form.source, bool(form.force)
    if isinstance(source, str):
        return TokenSource("model", refer(source, path), force=force)
    if source.kind == "zero":
        return TokenSource("zero", force=force)
    if source.path is not None:
        place = without_secrets(source.path)
        return TokenSource("model", ModelRef(place, source.revision, (), source.subfolder), force=force)
    if source.model is None or (source.token is not None and source.token_id is not None):
        return None
    model = refer(source.model, (*path, "model"))
    if source.token is None and source.token_id is None:
        return None if source.kind == "model_token" else TokenSource("model", model, force=force)
    return TokenSource("model_token", model, source.token, source.token_id, force)
