"""Embeddings of different lengths in the mergekit dialect: cut to the rows that all have, with a warning.

Kept because it changes values that existing recipes rely on; the native dialect refuses and asks for a `tokenizer`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from solera import registry
from solera.plan.models import Row
from solera.plan.route import Route, Source
from solera.plan.tasks import Read


def cropped(route: Route, method: str) -> Route | None:
    """The route with its embedding rows cut to a common length, or None when that is not possible.

    Task-vector methods keep the base's rows, so every model must have at least those; the others keep the shortest.
    """
    taking = [*route.sources, *([route.base] if route.base else [])]
    shapes = [s.row.leaf.shape for s in taking if s.row is not None]
    if route.leaf.vocab_axis != 0 or len({shape[1:] for shape in shapes}) != 1:
        return None
    rows = min(shape[0] for shape in shapes)
    if route.base and route.base.row and registry.card(method).takes_delta:
        if rows < route.base.row.leaf.shape[0]:
            return None
        rows = route.base.row.leaf.shape[0]
    sources = tuple(_cut(s, rows) for s in route.sources)
    leaf = replace(route.leaf, shape=(rows, *route.leaf.shape[1:]))
    return route._replace(leaf=leaf, sources=sources, base=route.base and _cut(route.base, rows))


def _cut(source: Source, rows: int) -> Source:
    row = source.row
    if row is None or not isinstance(row.expr, Read):
        return source
    shape = (rows, *row.leaf.shape[1:])
    assert math.prod(shape) <= math.prod(row.leaf.shape)
    cut = Row(replace(row.leaf, shape=shape), replace(row.expr, shape=shape), row.status, row.origin, row.alias)
    return source._replace(row=cut)
