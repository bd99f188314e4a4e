"""What is measured of a family of experts: the coefficient sweep, the geometry of task vectors, the quality gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from solera.checkpoints.identity import hasher
from solera.evaluate.contract import Split
from solera.testbeds.gate import Bar, judged, require
from solera.testbeds.language.models import put, state
from solera.testbeds.stages import Tell

State = Mapping[str, Any]
"""Tensor name -> tensor."""
Scores = dict[str, float]
"""Task -> points, 0 to 100."""

GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Coefficients of the sweep; 1/6, the plain average of six, lies within."""


def digest_of(items: Sequence[Any]) -> str:
    """Digest of the items that a task uses: token ids and labels.

    Example:
        >>> digest_of([([1], [2])]) == digest_of([([1], [3])])
        False
    """
    return hasher().update(json.dumps(items).encode()).hexdigest()


def added(base: State, experts: Mapping[str, State], coefficient: float) -> dict[str, Any]:
    """Base plus `coefficient` times the sum of the task vectors; 1 / len(experts) is the plain average."""
    return {name: value + coefficient * sum(e[name] - value for e in experts.values()) for name, value in base.items()}


def swept(base: State, experts: Mapping[str, State], score: Callable[[State], Scores]) -> list[dict[str, Any]]:
    """Scores of task arithmetic at every coefficient of `GRID`."""
    return [{"coefficient": c, **score(added(base, experts, c))} for c in GRID]


def best(sweep: list[dict[str, Any]], task: str) -> float:
    """The coefficient at which a task scores best; the smallest of equals.

    Example:
        >>> best([{"coefficient": 0.0, "t": 1}, {"coefficient": 0.5, "t": 3}, {"coefficient": 1.0, "t": 2}], "t")
        0.5
    """
    return float(max(sweep, key=lambda row: (row[task], -row["coefficient"]))["coefficient"])


def interior(sweep: list[dict[str, Any]], task: str) -> bool:
    """Whether a task scores best strictly between the ends of the sweep."""
    return 0 < best(sweep, task) < GRID[-1]


def measured(
    load: Callable[[Path], Any],
    score: Callable[[Any, Split], Scores],
    base: Path,
    experts: Mapping[str, Path],
    tell: Tell,
) -> dict[str, Any]:
    """Test scores of base, experts and average; the sweep on validation items; the geometry: plain JSON data.

    Args:
        load: folder -> model.
        score: (model, split) -> points per task.
        base: model folder.
        experts: model folders.
        tell: is told how far this is.
    """
    model = load(base)
    start, states = state(model), {name: state(load(path)) for name, path in experts.items()}
    steps = iter(range(1, len(states) + len(GRID) + 3))

    def scored(values: State, split: Split) -> Scores:
        put(model, values)
        tell(next(steps), len(states) + len(GRID) + 2)
        return score(model, split)

    return {
        "base": scored(start, "test"),
        "experts": {name: scored(values, "test") for name, values in states.items()},
        "average": scored(added(start, states, 1 / len(states)), "test"),
        "sweep": swept(start, states, lambda values: scored(values, "validation")),
        "geometry": geometry(start, states),
    }


def geometry(base: State, experts: Mapping[str, State]) -> dict[str, Any]:
    """Cosines between task vectors, their norms, how often their signs differ, how many ranks their matrices use.

    cosines: expert x expert. norms: of each task vector. relative: norm over that of the base. conflict: share of the
    entries with both signs among the experts that changed them. rank: mean over matrices of exp(entropy of the squared
    singular values), as a share of the full rank.
    """
    import torch

    vectors = {k: {n: (e[n] - base[n]).double() for n in base} for k, e in experts.items()}
    flat = torch.stack([torch.cat([t.flatten() for t in v.values()]) for v in vectors.values()])
    norms = flat.norm(dim=1)
    cosines = (flat @ flat.T) / (norms[:, None] * norms)
    signs = flat.sign()
    moved = (signs != 0).any(0)
    clash = ((signs > 0).any(0) & (signs < 0).any(0)).sum() / moved.sum()
    whole = torch.cat([t.flatten().double() for t in base.values()]).norm()
    off = cosines[~torch.eye(len(norms), dtype=torch.bool)]
    return {
        "cosines": _rounded(cosines.tolist()),
        "mean_cosine": round(float(off.mean()), 4),
        "norms": dict(zip(experts, _rounded(norms.tolist()), strict=True)),
        "relative": dict(zip(experts, _rounded((norms / whole).tolist()), strict=True)),
        "conflict": round(float(clash), 4),
        "rank": {k: round(_rank_share(v), 4) for k, v in vectors.items()},
    }


def _rank_share(vector: Mapping[str, Any]) -> float:
    import torch

    shares: list[float] = []
    for delta in vector.values():
        if delta.ndim != 2 or not delta.any():
            continue
        energy = torch.linalg.svdvals(delta) ** 2
        share = energy / energy.sum()
        entropy = -(share * share.clamp_min(1e-300).log()).sum()
        shares.append(float(entropy.exp()) / min(delta.shape))
    return float(sum(shares) / max(1, len(shares)))


def _rounded(numbers: list[Any]) -> list[Any]:
    return [_rounded(n) if isinstance(n, list) else round(n, 4) for n in numbers]


def bars(
    base: Scores, experts: Scores, average: Scores, ceiling: Scores, sweep: list[dict[str, Any]]
) -> dict[str, Bar]:
    """The gate: experts far above the base, the average clearly between, and a sweep with an inside.

    Args:
        base: points per task.
        experts: points of each task's own expert.
        average: points per task of the plain average of the experts.
        ceiling: points of a network of the same size trained from scratch for the task.
        sweep: see `swept`.
    """
    tasks = list(experts)
    mean = {n: sum(s[t] for t in tasks) / len(tasks) for n, s in (("b", base), ("e", experts), ("a", average))}
    inside = sum(interior(sweep, t) for t in tasks)
    found = {
        "experts over base": Bar(mean["e"] - mean["b"], ">=", 15, "points"),
        "average over base": Bar(mean["a"] - mean["b"], ">=", 5, "points"),
        "average under experts": Bar(mean["e"] - mean["a"], ">=", 5, "points"),
        "tasks with an interior optimum": Bar(inside, ">=", len(tasks) / 2),
    }
    for task in tasks:
        found[f"{task}: expert over base"] = Bar(experts[task] - base[task], ">=", 5, "points")
        found[f"{task}: expert of scratch"] = Bar(experts[task] / max(ceiling[task], 1.0), ">=", 0.95)
    return found


def gate(name: str, found: Mapping[str, Any], least: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Judge what `measured` found, with ``ceiling`` added; the gate as plain data.

    Args:
        name: of the testbed.
        found: see `measured`.
        least: task -> points that its expert must reach, whatever a network from scratch does.

    Raises:
        RunError: a figure is out of bounds.
    """
    own = {task: scores[task] for task, scores in found["experts"].items()}
    held = bars(found["base"], own, found["average"], found["ceiling"], found["sweep"])
    held |= {f"{task}: expert": Bar(own[task], ">=", points, "points") for task, points in (least or {}).items()}
    require(name, held)
    return judged(held)
