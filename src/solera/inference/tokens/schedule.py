"""How many tokens each layer merges away.

Source: "Token Merging: Your ViT But Faster" (arXiv:2210.09461), section 3 and appendix: constant and decreasing.
"""

from __future__ import annotations

from collections.abc import Sequence

from solera.errors import BadParameter
from solera.inference.tokens.matching import largest_r

Reduction = int | tuple[int, float] | Sequence[int]
"""r in every layer; (r, inflection) from r (1 - inflection) to r (1 + inflection); or one number for each layer."""


def reductions(r: Reduction, layers: int) -> tuple[int, ...]:
    """Tokens that each layer is to merge away.

    Args:
        r: see `Reduction`. A pair with a float is an inflection: -1 merges 2 r in the first layer and none in the last,
            +1 the other way round, 0 the same everywhere. A list that is too short leaves the last layers alone.
        layers: of the model.

    Raises:
        BadParameter: a number is negative or none at all, the inflection is outside [-1, 1], the list is too long.

    Example:
        >>> reductions(8, 3), reductions((8, -1.0), 3), reductions([5, 2], 3)
        ((8, 8, 8), (16, 8, 0), (5, 2, 0))
    """
    if isinstance(r, tuple) and len(r) == 2 and isinstance(r[1], float):
        return _inclined(_count(r[0]), r[1], layers)
    if isinstance(r, Sequence) and not isinstance(r, str | bytes):
        if len(r) > layers:
            raise BadParameter("`r` names more layers than there are.", got=f"{len(r)} numbers", want=f"{layers}")
        return (*map(_count, r), *[0] * (layers - len(r)))
    return (_count(r),) * layers


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadParameter("`r` is not usable.", got=repr(value), want="a whole number of tokens, 0 or more")
    return value


def _inclined(r: int, inflection: float, layers: int) -> tuple[int, ...]:
    if not -1 <= inflection <= 1:
        raise BadParameter("The inflection of `r` is not usable.", got=inflection, want="a number in [-1, 1]")
    first = int(r * (1 - inflection))
    step = (2 * r - 2 * first) / max(1, layers - 1)
    return tuple(int(first + step * layer) for layer in range(layers))


def token_counts(tokens: int, each: Sequence[int], protected: int) -> tuple[int, ...]:
    """Tokens that enter each layer's MLP, where a layer that has too few merges half of them.

    Example:
        >>> token_counts(197, [8, 8, 8], 1), token_counts(17, [8, 8, 8], 1)
        ((189, 181, 173), (9, 5, 3))
    """
    found = []
    for r in each:
        tokens -= min(r, largest_r(tokens, protected))
        found.append(tokens)
    return tuple(found)
