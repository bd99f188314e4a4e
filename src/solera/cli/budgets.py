"""The options of a budget, for the verbs that plan and merge: they win over what the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from solera.recipe import Recipe

BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="What may be read of the models other than the base: 20GiB, 10%; needs `solera analyze` first.",
        show_default=False,
        metavar="SIZE|SHARE",
    ),
]
Floor = Annotated[
    str | None,
    typer.Option("--budget-floor", help="Least share read of every layer, such as 5%.", show_default=False),
]
Sketches = Annotated[
    list[Path] | None,
    typer.Option("--sketches", help="A sketch, or a folder of them, to look in first.", show_default=False),
]


def with_budget(recipe: Recipe, amount: str | None, floor: str | None, sketches: list[Path] | None) -> Recipe:
    """The recipe with the budget that the options give; its own where they give none.

    Raises:
        BadParameter: an option is not readable, or a floor stands without a budget.
    """
    if amount is None and floor is None and not sketches:
        return recipe
    from solera.errors import BadParameter
    from solera.recipe import to_yaml
    from solera.recipe.budgets import budget_of, share
    from solera.recipe.values import Budget

    if amount is None and recipe.budget is None:
        raise BadParameter("There is no budget.", got="--budget-floor or --sketches alone", fix="add --budget 10%")
    own = recipe.budget or Budget()
    made = own if amount is None else replace(budget_of(amount), floor=own.floor, floors=own.floors)
    made = replace(made, floor=made.floor if floor is None else share(floor))
    made = replace(made, sketches=(*map(str, sketches or ()), *own.sketches))
    changed = replace(recipe, budget=made)
    return replace(changed, text=to_yaml(changed))
