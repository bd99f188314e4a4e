"""The laws that every method obeys, for built-in methods and for those of other packages.

from solera.testing import check_method_laws
check_method_laws("my_method")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from solera import registry
from solera.registry import Card
from solera.testing import algebra, declarations
from solera.testing.verdict import LawBroken

Law = Callable[[Card], None]

LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.__name__: law
        for law in (
            declarations.card_tells_the_truth,
            declarations.optouts_are_few,
            declarations.bad_parameter_is_named,
            declarations.declared_ranges_hold,
            declarations.variants_build,
            algebra.self_merge_is_identity,
            algebra.model_order_is_irrelevant,
            algebra.slices_equal_whole,
            algebra.populations_do_not_depend_on_order,
            algebra.same_seed_same_bits,
            algebra.draws_belong_to_their_place,
            algebra.dtype_and_shape_survive,
            algebra.float64_is_accepted,
            algebra.zeros_give_finite,
            algebra.finite_stays_finite,
            algebra.inputs_are_not_changed,
            algebra.results_are_distinct,
        )
    }
)
"""Name -> law. A law takes a card, tries the method on small seeded inputs, and raises `LawBroken`."""


def check_law(name: str, law: str) -> None:
    """Check one law on one registered method.

    A law that the card opts out of must indeed be broken: an opt-out that is no longer needed is an error too.

    Args:
        name: the method's.
        law: a key of `LAWS`.

    Raises:
        LawBroken: saying where, got and want.
    """
    card = registry.card(name)
    broken = _broken(card, law)
    if law in card.law_optouts and broken is None:
        raise LawBroken(f"`{name}` opts out of `{law}` and obeys it.\n  fix:   remove the opt-out")
    if law not in card.law_optouts and broken is not None:
        raise broken


def check_method_laws(name: str) -> None:
    """Check every law on one registered method.

    Args:
        name: the method's, registered in this process or built in.

    Raises:
        LawBroken: listing every law that is broken.

    Example:
        >>> from solera.ops.contract import Step, chain
        >>> from solera.registry import method, table
        >>> from solera.types import ELEMENT, WEIGHT
        >>> @method("first", space=WEIGHT >> WEIGHT, grain=ELEMENT, symmetric=False, numeric="exact")
        ... def first():
        ...     '''Take the first model.'''
        ...     return chain(Step("first", lambda stack, facts: stack.reduced(stack.values[0])))
        >>> check_law("first", "slices_equal_whole")
        >>> del table.REGISTERED["first"]
    """
    broken = []
    for law in LAWS:
        try:
            check_law(name, law)
        except LawBroken as error:
            broken.append(f"{law}: {error}")
    unknown = sorted(set(registry.card(name).law_optouts) - set(LAWS))
    broken += [f"`{law}` is opted out of, and is no law." for law in unknown]
    if broken:
        raise LawBroken("\n".join([f"Method `{name}` breaks {len(broken)} of {len(LAWS)} laws.", *broken]))


def optouts_table() -> str:
    """Every opt-out with its reason, and every method that gives no model back for its copies, as text."""
    rows = []
    for card in registry.cards().values():
        rows += [f"{card.name:<20} {law:<34} {reason}" for law, reason in card.law_optouts.items()]
        if card.idempotent is not True:
            rows.append(f"{card.name:<20} {'(copies give another model)':<34} {card.idempotent}")
    return "\n".join([f"{'method':<20} {'law':<34} reason", *rows])


def _broken(card: Card, law: str) -> LawBroken | None:
    """How the method breaks the law; an error of the method itself breaks it too."""
    try:
        LAWS[law](card)
    except LawBroken as error:
        return error
    except Exception as error:  # noqa: BLE001 - a method under test may fail in any way
        broken = LawBroken(f"The method fails.\n  got:   {error!r}")
        broken.__cause__ = error
        return broken
    return None
