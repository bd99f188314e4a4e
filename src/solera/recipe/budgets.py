"""Budgets as recipes and options write them: ``20GiB``, ``10%``, ``0``, ``inf``; floors by layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from solera.errors import BadParameter
from solera.recipe.parts import layer_range, size_bytes, size_text
from solera.recipe.values import Budget

_SHARE = re.compile(r"\s*(\d{1,4}(?:\.\d{1,9})?)\s*%\s*\Z", re.ASCII)
_WANT = 'bytes such as "20GiB", a share such as "10%", 0, or "inf"'


def amount(raw: str | float) -> tuple[int | None, float | None]:
    """Read how much may be read: (bytes, None), (None, share), or (None, None) for no limit.

    Raises:
        BadParameter: none of these, or negative.

    Example:
        >>> amount("10%"), amount("1KiB"), amount(0), amount("inf")
        ((None, 0.1), (1024, None), (0, None), (None, None))
    """
    if isinstance(raw, str):
        match = _SHARE.match(raw)
        if match:
            return None, float(match[1]) / 100
        if raw.strip().lower() == "inf":
            return None, None
        if raw.strip() == "0":
            return 0, None
    elif raw == 0 and not isinstance(raw, bool):
        return 0, None
    try:
        return size_bytes(raw if isinstance(raw, str) else int(raw) if raw == int(raw) else -1), None
    except (BadParameter, OverflowError, ValueError):
        raise BadParameter("The budget is not readable.", got=raw, want=_WANT) from None


def share(raw: str | float) -> float:
    """Read a floor: a share of the reads.

    Raises:
        BadParameter: not a share between 0 and 100 %.

    Example:
        >>> share("5%"), share("100%")
        (0.05, 1.0)
    """
    found = amount(raw)[1] if isinstance(raw, str) else None
    if found is None or found > 1:
        raise BadParameter("A floor of the budget is not readable.", got=raw, want='a share such as "5%"')
    return found


def budget_of(
    raw: str | float,
    *,
    floor: str | None = None,
    floors: Mapping[str, str] | None = None,
    sketches: str | list[str] | None = None,
) -> Budget:
    """Make the value from its texts.

    Raises:
        BadParameter: one of them is not readable.

    Example:
        >>> budget_of("10%", floors={"0-3": "20%"}).floors
        (((0, 3), 0.2),)
    """
    nbytes, part = amount(raw)
    named = tuple((layer_range(layers), share(text)) for layers, text in (floors or {}).items())
    places = (sketches,) if isinstance(sketches, str) else tuple(sketches or ())
    return Budget(nbytes, part, 0.0 if floor is None else share(floor), named, places)


def budget_plain(budget: Budget) -> Any:
    """The value as a recipe writes it: text where that is enough, else a mapping.

    Example:
        >>> budget_plain(budget_of("10%")), budget_plain(budget_of("2GB", floor="5%"))
        ('10%', {'amount': '2GB', 'floor': '5%'})
    """
    whole: Any = "inf" if budget.share is None else _percent(budget.share)
    if budget.nbytes is not None:
        whole = size_text(budget.nbytes) if budget.nbytes else 0
    rest: dict[str, Any] = {}
    if budget.floor:
        rest["floor"] = _percent(budget.floor)
    if budget.floors:
        rest["floors"] = {"{}-{}".format(*layers): _percent(part) for layers, part in budget.floors}
    if budget.sketches:
        rest["sketches"] = list(budget.sketches)
    return {"amount": whole, **rest} if rest else whole


def _percent(part: float) -> str:
    return f"{part * 100:.9f}".rstrip("0").rstrip(".") + "%"
