"""A recipe as canonical native text, which reads back to the same recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solera.recipe.budgets import budget_plain
from solera.recipe.emit import emit
from solera.recipe.parts import size_text
from solera.recipe.values import (
    Cases,
    Gradient,
    LeafMap,
    Match,
    Merge,
    Operand,
    Output,
    Recipe,
    Rule,
    Setting,
    Settings,
    Slice,
    StepUse,
    TokenizerSpec,
    TokenSource,
)
from solera.types import DType, LoraRef, ModelRef

Plain = dict[str, Any]


def to_yaml(recipe: Recipe) -> str:
    """Write a recipe in the native form: keys in a fixed order, defaults left out, one document.

    Reading it back gives an equal recipe, but for `text`, `source`, `warnings` and the nodes' `where`.

    Example:
        >>> from solera.recipe import parse
        >>> print(to_yaml(parse("{method: linear, models: [org/a, {model: org/b, weight: 0.3}]}")), end="")
        solera: 1
        models:
          - org/a
          - {model: org/b, weight: 0.3}
        method: linear
    """
    body = {"solera": 1, **merge_plain(recipe.merge), **_beside(recipe)}
    return emit([body])


def _beside(recipe: Recipe) -> Plain:
    rows: Plain = {
        "tokenizer": None if recipe.tokenizer is None else _tokenizer(recipe.tokenizer),
        "chat_template": recipe.chat_template,
        "output": _output(recipe.output),
        "seed": recipe.seed,
        "compute": "float64" if recipe.compute is DType.F64 else None,
        "compat": "storage" if recipe.compat_storage else None,
        "nonfinite": "keep" if recipe.nonfinite == "keep" else None,
        "population": recipe.population,
        "budget": None if recipe.budget is None else budget_plain(recipe.budget),
        "dialect": None if recipe.dialect == "solera" else recipe.dialect,
        "extra": dict(recipe.extra),
    }
    return {key: value for key, value in rows.items() if value not in (None, {}, 0) or (key, value) == ("budget", 0)}


def merge_plain(merge: Merge, outer: Merge | None = None) -> Plain:
    """A node as plain data; a module says explicitly where it has no base or variant but `outer` has."""
    body: Plain = {"name": merge.name} if merge.name else {}
    if merge.base is not None or (outer and outer.base is not None):
        body["base"] = None if merge.base is None else _model(merge.base)
    if merge.models:
        body["models"] = [_operand(operand) for operand in merge.models]
    body |= _method(merge)
    if merge.wrap or (outer and outer.wrap):
        body["wrap"] = _uses(merge.wrap)
    if merge.variant is not None or (outer and outer.variant is not None):
        body["variant"] = merge.variant
    body |= _filled(statistics=_measured(merge.statistics))
    body |= _filled(parameters=_settings(merge.parameters), rules=[_rule(rule) for rule in merge.rules])
    modules = {name: merge_plain(inner, merge) for name, inner in merge.modules.items()}
    return body | _filled(slices=[_slice(piece) for piece in merge.slices], modules=modules)


def _method(node: Merge | Rule) -> Plain:
    return {"steps": _uses(node.steps)} if node.steps else _filled(method=node.method)


def _uses(uses: Sequence[StepUse]) -> list[str | Plain]:
    return [{use.name: _settings(use.parameters)} if use.parameters else use.name for use in uses]


def _filled(**rows: Any) -> Plain:
    """The rows that say something."""
    return {key: value for key, value in rows.items() if value not in (None, "", [], {})}


def _model(model: ModelRef | Merge) -> str | Plain:
    if isinstance(model, Merge):
        return {"merge": merge_plain(model)}
    plain = _reference(model)
    return plain["model"] if list(plain) == ["model"] else plain


def _reference(ref: ModelRef) -> Plain:
    """A model as a mapping; `path` is never split at + and @."""
    loras: Any = [_lora(lora) for lora in ref.loras]
    rest = _filled(revision=ref.revision, subfolder=ref.subfolder)
    rest |= {"lora": loras[0]} if len(loras) == 1 else _filled(loras=loras)
    simple = not rest and not set(ref.path) & set("+@")
    return {"model" if simple else "path": ref.path, **rest}


def _lora(lora: LoraRef) -> Plain:
    weight = None if lora.weight == 1.0 else lora.weight
    return {"path": lora.path, **_filled(revision=lora.revision, weight=weight)}


def _operand(operand: Operand) -> str | Plain:
    model = operand.model
    plain: Plain = {"merge": merge_plain(model)} if isinstance(model, Merge) else _reference(model)
    plain |= _filled(label=operand.label)
    if operand.layers is not None:
        plain["layer_range"] = list(operand.layers)
    if operand.map is not None:
        plain["map"] = _map(operand.map)
    plain |= _filled(statistics=_measured(operand.statistics))
    settings = _settings(operand.parameters)
    reserved = set(plain) | _RESERVED
    plain |= {"parameters": settings} if reserved & set(settings) else settings
    return plain["model"] if list(plain) == ["model"] else plain


_RESERVED = {"model", "path", "merge", "revision", "lora", "loras", "subfolder", "label", "parameters", "layers"} | {
    "layer_range",
    "map",
    "statistics",
}


def _measured(statistics: Mapping[str, str]) -> str | Plain:
    return statistics["*"] if set(statistics) == {"*"} else dict(sorted(statistics.items()))


def _map(found: LeafMap) -> Plain:
    names = {source: targets[0] if len(targets) == 1 else list(targets) for source, targets in found.names}
    layers = list(found.layers) if isinstance(found.layers, tuple) else found.layers
    return _filled(names=names, layers=None if layers == "same" else layers)


def _slice(piece: Slice) -> Plain:
    base = None if piece.base is None else _operand(piece.base)
    sources = [_operand(source) for source in piece.sources]
    return {"sources": sources, **_filled(base=base, parameters=_settings(piece.parameters))}


def _rule(rule: Rule) -> Plain:
    rows = {str(k): _settings(settings) for k, settings in sorted(rule.model_parameters.items())}
    wrap = {} if rule.wrap is None else {"wrap": _uses(rule.wrap)}
    rest = _filled(parameters=_settings(rule.parameters), models=rows)
    return {"match": _match(rule.match), **_method(rule), **wrap, **rest}


def _match(match: Match) -> Plain:
    roles: Any = match.role[0] if len(match.role) == 1 else list(match.role)
    layers = None if match.layers is None else "{}-{}".format(*match.layers)
    return _filled(role=roles, layers=layers, name=match.name, module=match.module)


def _settings(settings: Settings) -> Plain:
    return {name: setting_plain(settings[name]) for name in sorted(settings)}


def setting_plain(setting: Setting) -> Any:
    """A setting as plain data."""
    if isinstance(setting, Gradient):
        return list(setting.points)
    if isinstance(setting, Cases):
        return [
            {**({} if case.contains is None else {"filter": case.contains}), "value": setting_plain(case.value)}
            for case in setting.cases
        ]
    return setting


def _tokenizer(spec: TokenizerSpec) -> str | Plain:
    source = _model(spec.source) if isinstance(spec.source, ModelRef) else spec.source
    rest = _filled(tokens=_tokens(spec.tokens), pad_to_multiple_of=spec.pad_to_multiple_of)
    return {"source": source, **rest} if rest or not isinstance(source, str) else source


def _tokens(tokens: Mapping[str, TokenSource]) -> Plain:
    return {
        token: {"source": _token_source(source), **({"force": True} if source.force else {})}
        for token, source in tokens.items()
    }


def _token_source(source: TokenSource) -> Any:
    model = None if source.model is None else _model(source.model)
    if source.kind == "zero":
        return {"kind": "zero"}
    if source.kind == "model":
        return model if isinstance(model, str) else {"model": model}
    row = {"token": source.token} if source.token is not None else {"token_id": source.token_id}
    return {"kind": "model_token", "model": model, **row}


def _output(output: Output) -> Plain:
    dtype = None if output.dtype is None else output.dtype.torch_name
    shard = None if output.shard_bytes == Output().shard_bytes else size_text(output.shard_bytes)
    layout_from = None if output.layout_from is None else _model(output.layout_from)
    layout = None if output.layout == "base" else output.layout
    return _filled(dtype=dtype, shard=shard, layout=layout, layout_from=layout_from, copy_code=output.copy_code or None)
