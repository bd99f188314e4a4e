"""A merge node becomes a table of leaves: routed, bound, checked; nested nodes first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from solera import registry
from solera.arch import compatible
from solera.errors import Fault, PlanError, nearest
from solera.plan.arithmetic import in_storage_type
from solera.plan.bind import COPY, Bound, bound, is_constant, matches
from solera.plan.crop import cropped
from solera.plan.layers import layer_counts, reshaped
from solera.plan.mapping import MapCount, mapped
from solera.plan.misfits import misshapen, missing_in
from solera.plan.models import ModelTable, Row
from solera.plan.route import Route, routes, with_ordinals
from solera.plan.statistics import Shelf, asked
from solera.plan.tasks import Call, LeafTask, Measured, Read, Twins
from solera.recipe.values import Merge, Operand, Recipe, Settings
from solera.types import ModelRef, TensorSpec


@dataclass(eq=False)
class Builder:
    """Turns nodes into tables; collects faults and notes so that all are reported together."""

    recipe: Recipe
    opened: Mapping[ModelRef, ModelTable]
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    maps: list[MapCount] = field(default_factory=list)
    shelf: Shelf = field(default_factory=Shelf)
    _merged: dict[int, ModelTable] = field(default_factory=dict)
    _bound: dict[tuple[int, tuple[int, ...]], Bound | None] = field(default_factory=dict)

    def table(self, model: ModelRef | Merge) -> ModelTable:
        """The table of a model or of a nested merge (built once)."""
        if isinstance(model, ModelRef):
            return self.opened[model]
        if id(model) not in self._merged:
            self._merged[id(model)] = self.merge(model, ())
        return self._merged[id(model)]

    def merge(self, node: Merge, outer: tuple[Settings, ...]) -> ModelTable:
        """The table that a node makes, leaf by leaf."""
        layout = self.layout_of(node)
        if node.modules:
            return self._modules(node, layout, outer)
        self._check_kin(node, layout)
        mergekit = self.recipe.dialect == "mergekit"
        identity = _identity(node, self)
        rows: dict[str, Row] = {}
        operands = [self._operand(node, operand, layout) for operand in node.models]
        for route in routes(node, layout, operands, self.table, outer, mergekit=mergekit):
            rows[route.leaf.name] = self._row(node, identity, route)
        self.notes += _unmatched(node, rows)
        self.notes += self.shelf.taken_notes()
        table = replace(layout, label=node.name or identity.label, rows=_share_ties(rows))
        return reshaped(node, _with_schema(node, table), self.table)

    def _operand(self, node: Merge, operand: Operand, layout: ModelTable) -> ModelTable:
        """An operand's table; under the leaf names of `layout` where it is of another architecture."""
        table = self.table(operand.model)
        if operand.map is None:
            return table
        found = mapped(operand.map, table, layout, where=node.where)
        self.faults += found.faults
        self.maps.append(found.count)
        return found.table

    def layout_of(self, node: Merge) -> ModelTable:
        """The table whose leaves, names and config the node's result starts from."""
        if node is self.recipe.merge and self.recipe.output.layout_from is not None and not node.slices:
            return self.opened[self.recipe.output.layout_from]
        if node.modules:
            return self.layout_of(next(iter(node.modules.values())))
        if node.slices:
            return self.table(node.slices[0].sources[0].model)
        return self.table(node.base if node.base is not None else node.models[0].model)

    def _modules(self, node: Merge, layout: ModelTable, outer: tuple[Settings, ...]) -> ModelTable:
        rows = dict(layout.rows)
        covered: set[str] = set()
        for module, inner in node.modules.items():
            made = self.merge(inner, (node.parameters, *outer))
            mine = {
                n: r for n, r in made.rows.items() if module in (r.leaf.module, r.leaf.stack) or module == "default"
            }
            covered |= set(mine)
            rows.update(mine)
        if left := len(set(rows) - covered):
            self.notes.append(f"{left} tensors belong to no listed module and are copied from {layout.label}")
        return replace(layout, label=node.name or "merge", rows=rows)

    def _check_kin(self, node: Merge, layout: ModelTable) -> None:
        for table in _operand_tables(node, self):
            if why := compatible(layout.architecture, table.architecture):
                raise PlanError(
                    f"{table.label} and {layout.label} cannot be merged.",
                    where=node.where,
                    got=why,
                    want="models of one architecture",
                    fix="merge models fine-tuned from one base, or map one onto the other first",
                )

    def _row(self, node: Merge, identity: _Identity, route: Route) -> Row:
        leaf = route.leaf
        if not _mergeable(route):
            return replace(route.layout, leaf=leaf, status="copied")
        route = self._aligned(node, route)
        ruled = bool(node.rules) and self._bind(node, route).call.method == COPY  # what is not merged need not fit
        if not ruled and not self._complete(node, route):
            return replace(route.layout, leaf=leaf, status="copied")
        use = self._bind(node, route)
        call = use.call
        if call.method == COPY:
            row = route.base.row if route.base else None
            return replace(row or route.layout, leaf=leaf, status="copied", alias=None)
        if _is_plain_copy(call, route) or _is_first_alone(call):
            row = route.first_row()
            return replace(row or route.layout, leaf=leaf, status="copied", alias=_alias(route))
        population = f"{identity.key}/{leaf.name}" if self.recipe.population == "tensor" else identity.key
        task = in_storage_type(self.recipe, _task(identity, population, use, route, self._measured(node, use, route)))
        return Row(leaf, task, "merged", identity.label, alias=_alias(route))

    def _bind(self, node: Merge, route: Route) -> Bound:
        """Bind the node's method to the leaf; scopes that say the same of every leaf are bound once."""
        scope = route.scope
        key = (id(node), scope.key)
        if key not in self._bound:
            self._bound[key] = bound(node, route.leaf, scope) if is_constant(node, scope) else None
        return self._bound[key] or bound(node, route.leaf, scope)

    def _measured(self, node: Merge, use: Bound, route: Route) -> tuple[Measured, ...]:
        """The statistics that a call asks for, of one leaf; faults are collected."""
        if not use.statistics:
            return ()
        found = self.shelf.of(asked(node, use.call, route, self.table), use.statistics)
        self.faults += self.shelf.taken_faults()
        return found

    def _aligned(self, node: Merge, route: Route) -> Route:
        """In the mergekit dialect, embeddings of unequal length are cut; the cut is noted."""
        if self.recipe.dialect != "mergekit" or route.kin:
            return route
        rows = {s.row.leaf.shape for s in (*route.sources, *([route.base] if route.base else [])) if s.row is not None}
        if len(rows) < 2:
            return route
        cut = cropped(route, node.method)
        if cut is None:
            return route
        self.notes.append(f"{route.leaf.name}: embeddings of different lengths, cut to {cut.leaf.shape[0]} rows")
        return cut

    def _complete(self, node: Merge, route: Route) -> bool:
        """Whether every operand has the leaf in one shape; faults are collected."""
        if route.kin:
            return True
        taking = [*route.sources, *([route.base] if route.base else [])]
        missing = [s.table.label for s in taking if s.row is None]
        if missing and _is_kept(node, route):
            return False
        if missing:
            self.faults.append(missing_in(node, route, missing))
            return False
        shapes = {s.table.label: s.row.leaf.shape for s in taking if s.row is not None}
        if len(set(shapes.values())) > 1:
            self.faults.append(misshapen(node, route, shapes))
            return False
        return True


def _is_kept(node: Merge, route: Route) -> bool:
    """Whether a leaf keeps the target's values: every model that lacks it is a mapped one."""
    lacking = [k for k, source in enumerate(route.sources) if source.row is None]
    based = route.base is None or route.base.row is not None
    return based and not node.slices and all(node.models[k].map is not None for k in lacking)


def _operand_tables(node: Merge, builder: Builder) -> Iterator[ModelTable]:
    """The tables that must be of one architecture: mapped models are not."""
    for operand in (*node.models, *(o for piece in node.slices for o in piece.sources)):
        if operand.map is None:
            yield builder.table(operand.model)
    if node.base is not None:
        yield builder.table(node.base)


def _mergeable(route: Route) -> bool:
    return route.layout.leaf.kind != "buffer" and route.layout.expr.natural.is_float


def _is_plain_copy(call: Call, route: Route) -> bool:
    if call.method != "passthrough" or call.wrap or len(route.kin.tables if route.kin else route.sources) != 1:
        return False
    scale = dict(call.parameters).get("scale")
    return scale is None or set(_tuple(scale)) == {1.0}


def _is_first_alone(call: Call) -> bool:
    """Whether an average has weight 1 for the first model and 0 for all others: then it is that model, to the bit."""
    if call.method != "linear" or call.wrap or call.steps:
        return False
    weights = dict(call.parameters).get("weight")
    return isinstance(weights, tuple) and weights[0] == 1.0 and not any(weights[1:])


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _alias(route: Route) -> str | None:
    """A merged leaf is still a tied alias only when it is one in every operand."""
    if route.kin:
        return route.layout.alias
    rows = [s.row for s in (*route.sources, *([route.base] if route.base else [])) if s.row is not None]
    aliases = {row.alias for row in rows}
    return aliases.pop() if len(aliases) == 1 else None


@dataclass(frozen=True, slots=True)
class _Identity:
    """A node's name in messages, its key for populations, its seed for draws, and the layers of each of its stacks."""

    label: str
    key: str
    seed: int
    layers: Mapping[str, int]


def _identity(node: Merge, builder: Builder) -> _Identity:
    labels = [builder.table(o.model).label for o in node.models]
    base = "" if node.base is None else builder.table(node.base).label
    text = "\n".join([node.title, base, *sorted(labels)])
    digest = hashlib.sha256(text.encode()).digest()
    seed = int.from_bytes(hashlib.sha256(f"{builder.recipe.seed}\n".encode() + digest).digest()[:8], "little")
    label = node.name or f"{node.title}({', '.join(labels) or 'slices'})"
    return _Identity(
        label, f"{label}#{digest.hex()[:12]}", seed, layer_counts(node, builder.layout_of(node), builder.table)
    )


def _task(identity: _Identity, population: str, use: Bound, route: Route, measured: tuple[Measured, ...]) -> LeafTask:
    delta = route.base is not None and not use.on_weights
    leaf = route.leaf
    kin, like = route.kin, route.layout if route.kin else route.sources[0].row
    ids = kin.ids if kin else with_ordinals([s.table.label for s in route.sources])
    twins = Twins(like.expr, kin) if kin and like and isinstance(like.expr, Read) else None
    return LeafTask(
        node=population,
        leaf=leaf.name,
        shape=like.leaf.shape if like else leaf.shape,
        call=use.call,
        operands=twins or tuple(s.row.expr for s in route.sources if s.row),
        models=ids,
        base=route.base.row.expr if route.base and route.base.row else None,
        delta=delta,
        seed=identity.seed,
        role=leaf.role,
        layer=leaf.layer,
        layers=None if leaf.layer is None else identity.layers.get(leaf.stack),
        out_axis=leaf.out_axis,
        in_axis=leaf.in_axis,
        measured=measured,
    )


def _share_ties(rows: dict[str, Row]) -> dict[str, Row]:
    """Tied leaves share one expression: merged once, with one draw."""
    return {n: replace(r, expr=rows[r.alias].expr) if r.alias in rows else r for n, r in rows.items()}


def _unmatched(node: Merge, rows: Mapping[str, Row]) -> Iterator[str]:
    """Notes on rules that speak of no tensor, which are most often misspelt."""
    for number, rule in enumerate(node.rules, 1):
        if not any(matches(rule.match, row.leaf) for row in rows.values()):
            roles = {row.leaf.role for row in rows.values()} | {row.leaf.role.split(".")[0] for row in rows.values()}
            hint = "; ".join(nearest(role, roles) for role in rule.match.role)
            yield f"rule {number} matches no tensor" + (f": {hint}" if hint else "")


def _with_schema(node: Merge, table: ModelTable) -> ModelTable:
    """Apply what the method says of its output: leaves left out, config changed."""
    schema_of = None if node.steps else registry.schema(node.method)
    if schema_of is None:
        return table
    specs = {name: TensorSpec(row.expr.natural, row.expr.shape) for name, row in table.rows.items()}
    schema = schema_of(specs, table.checkpoint.config)
    rows = {name: row for name, row in table.rows.items() if name not in schema.drops}
    return replace(table, rows=rows, patch={**table.patch, **schema.config})
