"""Genes from a method's card: which parameters, in what ranges, and over which tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solera.app.holding import open_again
from solera.errors import BadParameter, UnknownName, nearest
from solera.plan.models import ModelTable, table_of
from solera.recipe.values import Match, Merge, Operand, Recipe
from solera.registry import Card, Parameter, card
from solera.search.genome import Gene, Genes, Target
from solera.search.space import Axis, Value
from solera.types import ModelRef

OVER = ("global", "role", "layer")
"""One gene for the whole model; for each kind of tensor; for each run of layers and what lies outside them."""

UNBOUNDED: Mapping[str, tuple[float, float]] = {
    "weight": (0.0, 1.0), "lambda": (0.0, 2.0), "scale": (0.0, 2.0), "threshold": (0.0, 1.0), "beta": (0.0, 2.0),
}  # fmt: skip
"""Ranges where a card leaves an end open. Others must be given. See `MANY` for weights of many models."""
MANY = 4.0
"""The weight of one of K models is searched up to this times 1 / K, where that is below 1: beyond, merges fail."""
_EDGE = 0.01
"""How far from an excluded end, as a share of the range."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One parameter to search: None is taken from the card; `over` and `block` as of `genes_for`."""

    parameter: str
    low: float | None = None
    high: float | None = None
    start: Value | None = None
    over: str | None = None
    block: int | None = None


def read_wish(text: str) -> Wish:
    """``density``, ``density:0.1:0.9`` or ``density:0.1:0.9:0.5`` (low, high, start).

    Raises:
        BadParameter: it is none of these.

    Example:
        >>> read_wish("density:0.1:0.9").high
        0.9
    """
    name, *numbers = text.strip().split(":")
    try:
        low, high, start = [*map(float, numbers), None, None, None][:3]
    except ValueError:
        numbers = [""] * 4
        low = high = start = None
    if not name or len(numbers) not in (0, 2, 3):
        raise BadParameter("`--vary` is not readable.", got=text, want="NAME, NAME:LOW:HIGH or NAME:LOW:HIGH:START")
    return Wish(name, low, high, start)


def genes_for(recipe: Recipe, wishes: Sequence[Wish] = (), over: str = "global", block: int = 1) -> Genes:
    """Genes for a recipe's method.

    Args:
        recipe: a method over models.
        wishes: parameters to search; empty: the method's numbers that each model has its own of, else all its numbers.
        over: see `OVER`.
        block: layers that share a gene.

    Raises:
        UnknownName: the method has no such parameter. BadParameter: a range is missing or not within the card's.
    """
    node = recipe.merge
    found = card(node.method) if not node.steps else None
    if found is None or not node.models:
        raise BadParameter(
            "The recipe cannot be searched.", where=recipe.source, want="a registered method over a list of models"
        )
    wanted = list(wishes) or _by_card(found)
    table = _table(node)
    labels = _labels(node.models)
    genes = [gene for wish in wanted for gene in _genes(node, found, wish, over, block, labels, table)]
    return Genes(recipe, tuple(genes))


def _by_card(found: Card) -> list[Wish]:
    numbers = [p for p in found.parameters if p.kind == "float"]
    each = [p for p in numbers if p.per_model] or [p for p in numbers if p.required or p.name in UNBOUNDED] or numbers
    if not each:
        raise BadParameter(f"`{found.name}` has no numbers to search.", fix="choose another method")
    return [Wish(p.name) for p in each]


def _genes(
    node: Merge, found: Card, wish: Wish, over: str, block: int, labels: Sequence[str], table: ModelTable
) -> list[Gene]:
    parameter = found.parameter(wish.parameter)
    if parameter is None:
        fix = nearest(wish.parameter, [p.name for p in found.parameters])
        raise UnknownName(f"`{found.name}` has no parameter `{wish.parameter}`.", fix=fix)
    groups = _groups(wish.over or over, wish.block or block, table)
    models: Sequence[int | None] = range(len(labels)) if parameter.per_model else [None]
    made = []
    for words, match in groups.items():
        for model in models:
            axis = _axis(node, parameter, wish, model, _name(parameter, model, labels, words))
            made.append(Gene(axis, Target(parameter.name, model, match)))
    return made


def _name(parameter: Parameter, model: int | None, labels: Sequence[str], words: str) -> str:
    return ".".join([parameter.name, *([] if model is None else [labels[model]]), *([words] if words else [])])


def _axis(node: Merge, parameter: Parameter, wish: Wish, model: int | None, name: str) -> Axis:
    start = wish.start if wish.start is not None else _start(node, parameter, model)
    if parameter.kind in ("choice", "bool"):
        choices: tuple[Value, ...] = parameter.choices if parameter.kind == "choice" else (False, True)
        return Axis(name, start=choices[0] if start is None else start, kind="choice", choices=choices)
    low, high = _ends(parameter, wish, len(node.models))
    kind = "int" if parameter.kind == "int" else "float"
    at: float = (low + high) / 2 if start is None else min(high, max(low, float(start)))
    return Axis(name, low, high, int(at) if kind == "int" else at, kind)  # type: ignore[arg-type]


def _ends(parameter: Parameter, wish: Wish, models: int) -> tuple[float, float]:
    """The wish's range, else the card's, else the usual one; excluded ends are kept away from."""
    usual: tuple[float | None, float | None] = UNBOUNDED.get(parameter.name, (None, None))
    if parameter.name == "weight":
        usual = (0.0, min(1.0, MANY / models))
    low, high = (
        next((end for end in ends if end is not None), None)
        for ends in ((wish.low, parameter.low, usual[0]), (wish.high, parameter.high, usual[1]))
    )
    if low is None or high is None:
        fix = f"give it: --vary {parameter.name}:LOW:HIGH"
        raise BadParameter(f"`{parameter.name}` has no range on the card.", got=parameter.range_text, fix=fix)
    if wish.low is None and parameter.open_low and parameter.low == low:
        low += _EDGE * (high - low)
    if wish.high is None and parameter.open_high and parameter.high == high:
        high -= _EDGE * (high - low)
    for end in (low, high):
        if not parameter.accepts(int(end) if parameter.kind == "int" else end):
            raise BadParameter(f"The range of `{parameter.name}` is not usable.", got=end, want=parameter.range_text)
    return low, high


def _start(node: Merge, parameter: Parameter, model: int | None) -> Value | None:
    """What the recipe says; for weights that it leaves at 1, equal shares; else the card's default."""
    own = node.models[model].parameters if model is not None else {}
    said = own.get(parameter.name, node.parameters.get(parameter.name))
    if isinstance(said, (float, int, str, bool)):
        return said
    if parameter.name == "weight":
        return 1 / len(node.models)
    return parameter.default if isinstance(parameter.default, (float, int, str, bool)) else None


def _labels(operands: Sequence[Operand]) -> list[str]:
    """Short names of models, all different."""
    paths = [o.label or (_short(o.model) if isinstance(o.model, ModelRef) else "merge") for o in operands]
    return [p if paths.count(p) == 1 else f"{p}-{k + 1}" for k, p in enumerate(paths)]


def _short(ref: ModelRef) -> str:
    return (ref.loras[-1].path if ref.loras else ref.path).rstrip("/").rpartition("/")[2]


def _groups(over: str, block: int, table: ModelTable) -> dict[str, Match | None]:
    """Words -> the tensors that share a gene; "" is everywhere."""
    if over not in OVER:
        raise BadParameter("`--genes` is not usable.", got=over, want=", ".join(OVER), fix=nearest(over, OVER))
    if over == "role":
        roles = dict.fromkeys(leaf.role.partition(".")[0] for leaf in table.own_leaves())
        return {role: Match(role=(role,)) for role in roles}
    if over == "layer":
        return _blocks(block, table)
    return {"": None}


def _blocks(block: int, table: ModelTable) -> dict[str, Match | None]:
    count = max((stack.count for stack in table.stacks), default=0)
    if block < 1 or not count:
        got = f"{count} layers, {block} in a block"
        raise BadParameter("The layers cannot be cut into blocks.", got=got, want="layers, and 1 or more in a block")
    ends = [(first, min(first + block, count) - 1) for first in range(0, count, block)]
    inside: dict[str, Match | None] = {f"layers.{a}-{b}": Match(layers=(a, b)) for a, b in ends}
    return {"outside": None, **inside}


def _table(node: Merge) -> ModelTable:
    """Leaves of the base, else of the first model."""
    model: ModelRef | Merge | None = node.base if node.base is not None else node.models[0].model
    while isinstance(model, Merge):
        model = model.base if model.base is not None else model.models[0].model
    assert model is not None, "the loop ends at a reference"
    return table_of(open_again(model), str(model))
