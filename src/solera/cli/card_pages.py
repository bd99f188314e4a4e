"""Cards as text and as data: lists of methods, and one in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from solera.cli.shown import rows, say, say_json

if TYPE_CHECKING:
    from solera.registry import Parameter


def show_cards(
    cards: Sequence[Any],
    facts: Callable[[Any], Mapping[str, object]],
    *,
    one: bool,
    as_json: bool,
    line: Callable[[Any], str] = lambda card: card.summary,
) -> None:
    """Say what cards tell: `one` in full with its `facts` (those that are empty left out), or a `line` for each."""
    if as_json:
        data = [_as_data(card) for card in cards]
        say_json(data[0] if one else data)
    elif one:
        say(_in_full(cards[0], facts(cards[0])))
    else:
        say(rows({card.name: line(card) for card in cards}))


def origin(card: Any) -> dict[str, object]:
    """Where a method comes from, and how near ours is to it."""
    return {"paper": card.paper, "code": card.code, "parity": card.parity, "differs": " ".join(card.deviations)}


def _as_data(card: Any) -> dict[str, Any]:
    parameters = [{**asdict(p), "range": p.range_text} for p in card.parameters]
    return {**asdict(card), "parameters": parameters}


def _in_full(card: Any, facts: Mapping[str, object]) -> str:
    blocks = [f"{card.name}: {card.summary}", card.doc, rows({name: value for name, value in facts.items() if value})]
    blocks += ["parameters"] * bool(card.parameters)
    return "\n\n".join([*filter(None, blocks), *map(_parameter, card.parameters)])


def _parameter(parameter: Parameter) -> str:
    """Two lines: the name with default and range; the meaning."""
    default = "required" if parameter.required else f"default {parameter.default}"
    each = ", one value or one per model" if parameter.per_model else ""
    return f"  --{parameter.name}  ({default}; {parameter.range_text}{each})\n      {parameter.doc}"
