"""Laws about cards: what a method declares is complete and true."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from solera import registry
from solera.errors import BadParameter, SoleraError
from solera.registry import Card, Parameter
from solera.registry.samples import unusable
from solera.testing.trials import Setting, counts, small_trials, spread_values, trial, usual
from solera.testing.verdict import demand

MOST_OPTOUTS = 2


def card_tells_the_truth(card: Card) -> None:
    """The card is complete, and its grain and passes are those of the chain at defaults."""
    chain = usual(card).chain(card)
    demand(card.summary, "There is no summary.", fix="begin the docstring with one line")
    bare = [parameter.name for parameter in card.parameters if not parameter.doc]
    demand(not bare, "Parameters have no description.", got=", ".join(bare), fix='describe them under "Args:"')
    demand(card.grain == chain.grain.value, "The grain is not the chain's.", got=card.grain, want=chain.grain.value)
    demand(card.passes == chain.passes, "The passes are not the chain's.", got=card.passes, want=chain.passes)
    based = card.base == "required" or not card.takes_delta
    demand(based, "Task vectors need a base.", got=f"base={card.base}", want="base=required")


def optouts_are_few(card: Card) -> None:
    """At most two laws are opted out of, each with a reason."""
    demand(
        len(card.law_optouts) <= MOST_OPTOUTS,
        "Too many laws are opted out of.",
        got=len(card.law_optouts),
        want=f"at most {MOST_OPTOUTS}",
    )
    for law, reason in card.law_optouts.items():
        demand(reason.strip(), f"There is no reason for opting out of {law}.")


def bad_parameter_is_named(card: Card) -> None:
    """An unknown name, a value of the wrong type or a wrong number of per-model values is refused by name."""
    _demand_refused("no_such_parameter", partial(_build, card, "no_such_parameter", 1))
    for parameter in card.parameters:
        _demand_refused(parameter.name, partial(_build, card, parameter.name, object()))
        if parameter.per_model and parameter.kind == "float":
            _demand_refused(parameter.name, partial(_run_miscounted, card, parameter))


def declared_ranges_hold(card: Card) -> None:
    """Values outside a declared range are refused; the bounds inside it work and give finite results."""
    for parameter in card.parameters:
        for value in unusable(parameter):
            _demand_refused(parameter.name, partial(_build, card, parameter.name, value))
        for bound in _bounds(parameter):
            _demand_usable(card, parameter.name, bound)


def variants_build(card: Card) -> None:
    """Every variant builds and runs on every small trial."""
    for variant in ("paper", *card.variants):
        setting = Setting(variant, usual(card).values, variant)
        try:
            chain = setting.chain(card)
            results = [(name, tried.run(chain)) for name, tried in small_trials(card)]
        except SoleraError as error:
            demand(holds=False, what=f"Variant `{variant}` does not run.", got=error)
            return
        for name, result in results:
            demand(result.isfinite().all(), f"Variant `{variant}` gives NaN or infinity.", where=name)


def _bounds(parameter: Parameter) -> list[float]:
    low = [] if parameter.low is None or parameter.open_low else [parameter.low]
    high = [] if parameter.high is None or parameter.open_high else [parameter.high]
    return low + high


def _build(card: Card, name: str, value: Any) -> Any:
    return registry.build(card.name, {**usual(card).values, name: value})


def _run_miscounted(card: Card, parameter: Parameter) -> Any:
    """Run with one value more than there are models."""
    models = counts(card)[-1]
    chain = _build(card, parameter.name, spread_values(parameter, models + 1))
    return trial(card, models=models).run(chain)


def _demand_refused(name: str, attempt: Callable[[], Any]) -> None:
    try:
        attempt()
    except BadParameter as error:
        demand(f"`{name}`" in error.fault.what, "A bad parameter is not named.", got=error.fault.what, want=f"`{name}`")
    except Exception as error:  # noqa: BLE001 - any other error is just what this law forbids
        demand(holds=False, what=f"A bad `{name}` gives another error.", got=repr(error), want="BadParameter")
    else:
        demand(holds=False, what=f"A bad `{name}` is accepted.", want="BadParameter")


def _demand_usable(card: Card, name: str, bound: float) -> None:
    """A bound of the declared range works, unless the method refuses it beside its other defaults, by name."""
    try:
        result = trial(card).run(_build(card, name, bound))
    except BadParameter as error:
        demand("`" in error.fault.what, f"`{name}` at its bound is refused without a name.", got=error.fault.what)
    except Exception as error:  # noqa: BLE001 - a range must say where the mathematics ends
        demand(
            holds=False,
            what=f"`{name}` fails at a bound of its range.",
            where=f"{name}={bound:g}",
            got=repr(error),
            fix="exclude the bound with open_low or open_high",
        )
    else:
        finite = result.isfinite().all()
        demand(finite, f"`{name}` at its bound gives NaN or infinity.", where=f"{name}={bound:g}")
