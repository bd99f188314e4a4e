"""Our order beside a published one, as a part of a leaderboard's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solera.bench import words
from solera.bench.agreement import LEAST, Agreement, Pair
from solera.bench.leaderboard import Line

JOINED = (
    "Methods that read statistics or learn coefficients join with their rows of [statistics](../statistics.md) and\n"
    "[coefficients](../coefficients.md), measured on the same testbeds."
)


def agreed(found: Agreement | None) -> str:
    """The part, as Markdown; nothing where there is nothing to compare."""
    if found is None or not found.pairs:
        return ""
    rows = [
        "## Beside a published table",
        "",
        f"{found.title}: {found.source}.",
        "Their column: mean accuracy in percent, as published. Ours: share of the experts' accuracy in percent, mean",
        f"over {_seeds(found)}, on which every one of these methods was measured; tuned where a method was tuned.",
        *([JOINED] if found.alone else []),
        "",
        "| method | their place | theirs | our place | ours | ours stands at |",
        "|---|---:|---:|---:|---:|---|",
    ]
    ours = sorted((pair.ours for pair in found.pairs), reverse=True)
    for place, pair in enumerate(found.pairs, 1):
        mine = (str(ours.index(pair.ours) + 1), words.percent(pair.line.groups["held-in"]), words.chosen(pair.line))
        rows.append("| " + " | ".join((pair.published, str(place), f"{pair.theirs:.1f}", *mine)) + " |")
    return "\n".join([*rows, "", *_orders(found), "", _rho(found), *_disagreements(found)])


def _orders(found: Agreement) -> Iterator[str]:
    yield "- theirs: " + " > ".join(pair.published for pair in found.pairs)
    yield "- ours: " + " > ".join(pair.published for pair in sorted(found.pairs, key=lambda pair: -pair.ours))


def _rho(found: Agreement) -> str:
    n = len(found.pairs)
    if found.rho is None:
        return f"{n} methods are common to both; a rank correlation is given for {LEAST} or more."
    said = (
        f"**Spearman's ρ = {found.rho.value:.2f}** ({found.rho.low:.2f} to {found.rho.high:.2f} over our seeds and "
        f"items), n = {n}, {_seeds(found)}. The interval does not speak of their figures, which come without one."
    )
    few = found.alone
    if few is None or few.rho is None:
        return said
    return (
        f"{said} Of the leaderboard's own methods alone, over {_seeds(few)}: ρ = {few.rho.value:.2f} "
        f"({few.rho.low:.2f} to {few.rho.high:.2f}), n = {len(few.pairs)}."
    )


def _disagreements(found: Agreement) -> Iterator[str]:
    if not found.disagreements:
        yield "\nWe order every pair as they do."
        return
    pairs = len(found.pairs) * (len(found.pairs) - 1) // 2
    sure = sum(each.sure for each in found.disagreements)
    yield (
        f"\nWhere we disagree: {len(found.disagreements)} of {pairs} pairs, {sure} of them beyond our interval (their "
        "gap, and ours in points of the experts' score):\n"
    )
    for each in found.disagreements:
        words_ = "beyond our interval" if each.sure else "within our interval"
        gap = words.percent(each.gap, signed=True)
        yield f"- {each.above} over {each.below}: theirs +{each.theirs:.1f}, ours {gap}, {words_}"
    yield "\nWhy, as far as these rows tell:\n"
    yield from (f"- {why}" for why in _why(found))
    yield "\nGaps beyond the interval are real here; the tasks were not changed to close them."


def _why(found: Agreement) -> Iterator[str]:
    ours, theirs = ([getattr(pair, side) for pair in found.pairs] for side in ("ours", "theirs"))
    here, there = 100 * (max(ours) - min(ours)), max(theirs) - min(theirs)
    yield (
        f"Our experts are small ({words.megabytes(found.weights)} MB each) and were fine-tuned on views of one set of "
        f"images: here the methods lie within {here:.1f} points of each other, there within {there:.1f}."
    )
    yield from _fixed([pair for pair in found.pairs if pair.fixed is not None])
    yield from _learnt([pair for pair in found.pairs if pair.starts is not None])
    widest = max(found.pairs, key=lambda pair: _width(pair.line))
    yield f"Least certain of ours: {widest.published}, {words.bounds(widest.line.groups['held-in'])}."


def _fixed(pairs: Sequence[Pair]) -> Iterator[str]:
    """What stands at a fixed coefficient there, and what validation chose here."""
    for value in dict.fromkeys(pair.fixed for pair in pairs):
        mine = [pair for pair in pairs if pair.fixed == value]
        here = "; ".join(f"`{pair.name[0]}` {words.chosen(pair.line)}" for pair in mine)
        yield (
            f"There the coefficient of {_names(mine)} is {value:g}; here validation images choose it ({here}), "
            "so no method gains by being less harmed than another at a value that suits neither."
        )


def _learnt(pairs: Sequence[Pair]) -> Iterator[str]:
    for value in dict.fromkeys(pair.starts for pair in pairs):
        yield (
            f"{_names([pair for pair in pairs if pair.starts == value])}: coefficients are learnt from unlabelled test "
            f"images, from {value:g} on, there and here; nothing is chosen on validation images."
        )


def _names(pairs: Sequence[Pair]) -> str:
    return " and ".join(pair.published for pair in pairs)


def _width(line: Line) -> float:
    return line.groups["held-in"].high - line.groups["held-in"].low


def _seeds(found: Agreement) -> str:
    return f"seed{'s' if len(found.seeds) > 1 else ''} " + ", ".join(map(str, found.seeds))
