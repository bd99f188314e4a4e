"""A recipe from command-line options, without YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from solera import registry
from solera.errors import RecipeFaults
from solera.recipe.read import read_nodes
from solera.recipe.text import Node, scalar_of
from solera.recipe.values import Recipe
from solera.recipe.write import to_yaml

SOURCE = "the command line"


def from_options(
    models: Sequence[str],
    *,
    base: str | None = None,
    method: str = "linear",
    parameters: Mapping[str, Any] | None = None,
    variant: str | None = None,
    tokenizer: str | None = None,
    chat_template: str | None = None,
    dtype: str | None = None,
    shard: str | int | None = None,
    seed: int | None = None,
    compute: str | None = None,
    nonfinite: str | None = None,
    copy_code: bool = False,
    budget: str | None = None,
) -> Recipe:
    """Make the recipe that the options of a command describe; its `text` is the canonical native form.

    Args:
        models: references `path[@revision][+lora]`, in order.
        base: the base's reference.
        method: a registered method.
        parameters: by name; a value is a number, a boolean, a word, or text of one. A list, or text with commas,
            gives each model its own value.
        variant: a named preset of the method.
        tokenizer: "union", "base" or a model.
        chat_template: "auto", a name or template text.
        dtype: output type; default the base's own types.
        shard: largest file, such as "5GB".
        seed: of all draws.
        compute: "float32" or "float64".
        nonfinite: "error" or "keep".
        copy_code: also copy custom code of the base.
        budget: what may be read of the models other than the base: "20GiB", "10%".

    Raises:
        RecipeFaults: everything that is wrong with the options.

    Example:
        >>> recipe = from_options(["org/a", "org/b"], parameters={"weight": "0.3,0.7"})
        >>> [operand.parameters["weight"] for operand in recipe.merge.models]
        [0.3, 0.7]
    """
    shared, each = _spread(parameters or {}, method)
    faults_of_each = {name: {"each": values} for name, values in each.items() if len(values) != len(models)}
    entries = [
        {"model": model, **{name: values[i] for name, values in each.items() if name not in faults_of_each}}
        for i, model in enumerate(models)
    ]
    output = {"dtype": dtype, "shard": shard, "copy_code": copy_code or None}
    body = {
        "base": base,
        "models": entries,
        "method": method,
        "variant": variant,
        "parameters": {**shared, **faults_of_each},
        "tokenizer": tokenizer,
        "chat_template": chat_template,
        "output": {key: value for key, value in output.items() if value is not None},
        "seed": seed,
        "compute": compute,
        "nonfinite": nonfinite,
        "budget": budget,
    }
    return _made({key: value for key, value in body.items() if value not in (None, {})})


def _made(body: Mapping[str, Any]) -> Recipe:
    recipe, find = read_nodes((_node(body),), SOURCE, "", strict=True)
    if find.faults or recipe is None:
        raise RecipeFaults(find.faults, source=SOURCE)
    return replace(recipe, text=to_yaml(recipe))


def _spread(parameters: Mapping[str, Any], method: str) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Part the values for all models from those with one value per model."""
    shared, each = {}, {}
    for name, raw in parameters.items():
        value = _value(raw)
        if isinstance(value, list):
            each[_spelt(name, method)] = value
        else:
            shared[_spelt(name, method)] = value
    return shared, each


def _value(raw: Any) -> Any:
    if isinstance(raw, str) and "," in raw:
        return [scalar_of(part.strip()) for part in raw.split(",")]
    if isinstance(raw, str):
        return scalar_of(raw)
    return list(raw) if isinstance(raw, tuple) else raw


def _spelt(name: str, method: str) -> str:
    """Options are spelt with dashes: `--max-iter` is `max_iter` where the method says so."""
    card = registry.cards().get(method)
    dashed = name.replace("-", "_")
    return dashed if card is not None and card.parameter(dashed) else name


def _node(data: Any) -> Node:
    """Plain data as a document without lines."""
    if isinstance(data, Mapping):
        return Node(0, keys={key: (0, _node(value)) for key, value in data.items()})
    if isinstance(data, list):
        return Node(0, items=tuple(_node(value) for value in data))
    return Node(0, scalar=data, text=str(data))
