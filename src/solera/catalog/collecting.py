"""gc: what nothing leads to any more is dropped."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from solera.catalog.store import Catalog
from solera.catalog.tables import EDGES, METADATA, MODELS, OUTPUTS, PLANS, RECIPES, RUNS, SCORES, SKETCHES, TENSORS


def gc(catalog: Catalog, host: str, *, dry_run: bool = False) -> dict[str, int]:
    """Drop what is gone, and what only it needed; returns the number of rows by table.

    Outputs of `host` whose folders are gone are dropped; then runs without an output whose model went into no other
    run; then models that no run, score or sketch speaks of. Sketches go with the folder of their model (in a
    catalog that is a file: a server cannot see folders). `dry_run` only counts.
    """
    before = {name: catalog.count(name) for name in METADATA.tables}
    with catalog.engine.connect() as connection, connection.begin() as transaction:
        _drop_outputs(connection, host)
        while connection.execute(_LONELY_RUNS).rowcount:
            connection.execute(sa.delete(EDGES).where(EDGES.c.run.not_in(sa.select(RUNS.c.id))))
        if catalog.place.path is not None:
            _drop_sketches(connection)
        for statement in _ORPHANS:
            connection.execute(statement)
        after = {name: _count(connection, table) for name, table in METADATA.tables.items()}
        if dry_run:
            transaction.rollback()
    if not dry_run and catalog.place.path is not None:
        _shrink(catalog)
    return {name: before[name] - after[name] for name in before if before[name] > after[name]}


_LONELY_RUNS = sa.delete(RUNS).where(
    RUNS.c.id.not_in(sa.select(OUTPUTS.c.run)), RUNS.c.output.not_in(sa.select(EDGES.c.parent))
)
_NEEDED = sa.union_all(
    sa.select(RUNS.c.output), sa.select(EDGES.c.parent), sa.select(SKETCHES.c.model), sa.select(SKETCHES.c.base)
)
_SCORED = sa.select(SCORES.c.model)
_ORPHANS = (
    sa.delete(MODELS).where(
        MODELS.c.id.not_in(_NEEDED),
        MODELS.c.id.not_in(_SCORED),
        sa.or_(MODELS.c.strong_id.is_(None), MODELS.c.strong_id.not_in(_SCORED)),
    ),
    sa.delete(TENSORS).where(TENSORS.c.model.not_in(sa.select(MODELS.c.id))),
    sa.delete(PLANS).where(PLANS.c.digest.not_in(sa.select(RUNS.c.plan))),
    sa.delete(RECIPES).where(RECIPES.c.digest.not_in(sa.select(RUNS.c.recipe))),
)


def _drop_outputs(connection: sa.Connection, host: str) -> None:
    folders = connection.execute(sa.select(OUTPUTS.c.folder).where(OUTPUTS.c.host == host).distinct()).scalars()
    for folder in [each for each in folders if "://" not in each and not Path(each).exists()]:
        connection.execute(sa.delete(OUTPUTS).where(OUTPUTS.c.host == host, OUTPUTS.c.folder == folder))


def _drop_sketches(connection: sa.Connection) -> None:
    asked = sa.select(MODELS.c.id, MODELS.c.folder).join(SKETCHES, SKETCHES.c.model == MODELS.c.id).distinct()
    for model, folder in connection.execute(asked).all():
        if folder and not Path(folder).exists():
            connection.execute(sa.delete(SKETCHES).where(SKETCHES.c.model == model))


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _shrink(catalog: Catalog) -> None:
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM"))
