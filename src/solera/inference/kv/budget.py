"""How many entries a layer may hold: a share of its tokens, or a number."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

from solera.errors import BadParameter

FLOOR = 4
"""Fewest entries that a share of a short text comes to, and that can be asked for."""
SLACK = 1 / 16
"""Share of a budget that is left free when a layer is reduced, so that this is not done at every token."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Most entries of one layer and row: a share of the tokens that a plain cache would hold, or a number.

    Raises:
        BadParameter: it is no share in (0, 1], and no number of at least `FLOOR` tokens.

    Example:
        >>> Budget(0.5).capacity(31), Budget(100).capacity(31), Budget(0.2).capacity(8)
        (16, 100, 4)
    """

    amount: float | int

    def __post_init__(self) -> None:
        """Refuse what is no budget."""
        amount = self.amount
        whole = isinstance(amount, int) and not isinstance(amount, bool)
        if not (amount >= FLOOR if whole else isinstance(amount, float) and 0 < amount <= 1):
            fix = "1.0 is the whole cache, 0.5 half of it" if whole else _fix(amount)
            want = f"a share in (0, 1], or at least {FLOOR} tokens"
            raise BadParameter("`budget` is not usable.", got=repr(amount), want=want, fix=fix)

    @property
    def whole(self) -> bool:
        """Nothing is ever dropped."""
        return isinstance(self.amount, float) and self.amount == 1.0

    def capacity(self, tokens: int) -> int:
        """Most entries where a plain cache would hold so many tokens."""
        if isinstance(self.amount, int):
            return self.amount
        return max(FLOOR, ceil(round(self.amount * tokens, 6)))


def _fix(amount: object) -> str:
    if not (isinstance(amount, float) and 1 < amount < inf):
        return "0.5 holds half of the tokens"
    tokens = f"; for {amount:g} tokens write {int(amount)}, an int" if amount >= FLOOR else ""
    return f"for {amount:g} % write {amount / 100:g}{tokens}"


def room(capacity: int, slack: float) -> int:
    """Entries that are left free when a layer is reduced.

    Example:
        >>> room(2048, SLACK), room(12, SLACK)
        (128, 0)
    """
    return int(capacity * slack)
