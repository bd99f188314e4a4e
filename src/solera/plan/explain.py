"""The plan in words and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from solera.plan.tasks import Plan

if TYPE_CHECKING:
    from solera.ops.contract import Chain


def size(nbytes: float) -> str:
    """Bytes for people, in powers of 1000.

    Example:
        >>> size(2_200_000_000)
        '2.20 GB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.2f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.2f} TB"


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "digest": plan.digest,
        "models": {label: {"bytes": c.nbytes, "weak_id": c.weak_id} for label, c in plan.models.items()},
        "tensors": dict(Counter(t.status for t in plan.outputs)),
        "methods": dict(_methods(plan)),
        "chains": _chains(plan),
        "maps": [asdict(count) for count in plan.maps],
        "passes": plan.cost.passes,
        "read_bytes": plan.cost.read_bytes,
        "downloads": {label: c.nbytes for label, c in plan.models.items() if "://" in c.ref.path},
        "write_bytes": plan.cost.write_bytes,
        "memory_bytes": plan.cost.memory_bytes,
        "intermediate_bytes": 0,
        "held": plan.cost.held,
        "stages": [*_stages(plan), "write the output"],
        "layers": dict(plan.side.layers),
        "warnings": list(plan.warnings),
        "left_out": [list(row) for row in plan.provenance],
        **({} if plan.budget is None else {"budget": plan.budget.to_json()}),
    }


def explain(plan: Plan) -> str:
    """The plan as text."""
    data = as_json(plan)
    counts = ", ".join(f"{n} {status}" for status, n in data["tensors"].items())
    models = ", ".join(f"{label} ({size(row['bytes'])})" for label, row in data["models"].items())
    lines = [
        f"models   {models}",
        f"output   {len(plan.outputs)} tensors ({counts}), {size(plan.cost.write_bytes)}",
        f"methods  {', '.join(f'{name} x {n}' for name, n in data['methods'].items())}",
        *(f"map      {count}" for count in plan.maps),
        *(f"chain    {row['chain']}: grain {row['grain']}, {row['passes']} passes" for row in data["chains"]),
        f"passes   {plan.cost.passes} ({plan.cost.held}; no intermediate files)",
        f"reads    {size(plan.cost.read_bytes)}    memory {size(plan.cost.memory_bytes)} above an idle process",
        *(f"budget   {text}" for text in _budget(plan)),
        *([f"network  {_downloads(data)}"] if data["downloads"] else []),
        *(f"stage    {i}. {text}" for i, text in enumerate(data["stages"], 1)),
        *(f"warning  {text}" for text in plan.warnings),
    ]
    return "\n".join(lines)


def _budget(plan: Plan) -> list[str]:
    """What a budget reads and leaves out."""
    made = plan.budget
    if made is None:
        return []
    if made.is_plain:
        return [f"everything is read: {size(made.total)} of models other than the base"]
    saved = f"{size(made.planned)} of {size(made.total)} are read beside the base ({size(made.base_bytes)})"
    lines = [f"{saved}: {made.blocks_read} of {made.blocks} blocks; the limit is {size(made.limit or 0)}"]
    lines += [f"{label}: {mass.share:.1%} of its squared change is left out" for label, mass in made.mass.items()]
    lines += [f"at most {made.bound:.3g} from the whole merge (Frobenius)"] if made.bound is not None else []
    lines += [f"thresholds from sketches, {made.thresholds}"] if made.thresholds else []
    return [*lines, *made.notes]


def _downloads(data: dict[str, Any]) -> str:
    """What comes over the network: models at addresses are streamed, once for each pass that reads them."""
    rows = data["downloads"]
    more = f", up to {data['passes']} times" if data["passes"] > 1 else ""
    return f"{size(sum(rows.values()))}{more}: {', '.join(f'{label} ({size(n)})' for label, n in rows.items())}"


def _methods(plan: Plan) -> Counter[str]:
    from solera.plan.expressions import calls_of

    titles: Counter[str] = Counter()
    for call, count in calls_of(plan.outputs).items():
        titles[call.title] += count
    return titles


def _chains(plan: Plan) -> list[dict[str, Any]]:
    """Chains of the recipe's own, and methods with wrappers: grain, and passes over the inputs when nothing is held."""
    from solera.plan.chains import chain_of
    from solera.plan.expressions import calls_of

    rows: dict[str, list[Chain]] = {}
    for call in calls_of(plan.outputs):
        if call.steps or call.wrap:
            rows.setdefault(call.title, []).append(chain_of(call))
    return [
        {
            "chain": title,
            "grain": max((made.grain for made in chains), key=lambda grain: grain.rank).value,
            "passes": max(made.passes for made in chains),
        }
        for title, chains in rows.items()
    ]


def _stages(plan: Plan) -> list[str]:
    return [
        f"take the whole-model summary of {s.key[1].title}'s `{s.step_name}` over {len(s.tasks)} tensors, in "
        f"{s.rounds} {'pass' if s.rounds == 1 else 'passes'} (inputs are read again afterwards)"
        for s in plan.stages
    ]
