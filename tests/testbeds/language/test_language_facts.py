"""Sweeps, geometry and the gate on task vectors that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from solera.errors import RunError
from solera.testbeds.language import facts

BASE = {"m.weight": torch.zeros(2, 2), "v": torch.zeros(2)}
EXPERTS = {
    "a": {"m.weight": torch.tensor([[3.0, 0.0], [0.0, 0.0]]), "v": torch.tensor([4.0, 0.0])},
    "b": {"m.weight": torch.tensor([[-3.0, 0.0], [0.0, 3.0]]), "v": torch.tensor([0.0, 0.0])},
}


def test_adding_scales_the_sum_of_task_vectors() -> None:
    half = facts.added(BASE, EXPERTS, 0.5)
    torch.testing.assert_close(half["m.weight"], torch.tensor([[0.0, 0.0], [0.0, 1.5]]))
    torch.testing.assert_close(half["v"], torch.tensor([2.0, 0.0]))


def test_geometry_by_hand() -> None:
    found = facts.geometry(
        {k: v + 1 for k, v in BASE.items()}, {n: {k: v + 1 for k, v in e.items()} for n, e in EXPERTS.items()}
    )
    assert found["norms"] == {"a": 5.0, "b": pytest.approx(18**0.5, abs=1e-4)}
    assert found["mean_cosine"] == pytest.approx(-9 / (5 * 18**0.5), abs=1e-4)
    assert found["conflict"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["rank"] == {"a": 0.5, "b": 1.0}
    assert found["relative"]["a"] == pytest.approx(5 / 6**0.5, abs=1e-4)


def sweep(*best: float) -> list[dict[str, float]]:
    return [{"coefficient": c, **{f"t{i}": -abs(c - b) for i, b in enumerate(best)}} for c in facts.GRID]


def test_an_optimum_at_an_end_is_not_interior() -> None:
    rows = sweep(0.0, 0.3, 1.0)
    assert [facts.best(rows, f"t{i}") for i in range(3)] == [0.0, 0.3, 1.0]
    assert [facts.interior(rows, f"t{i}") for i in range(3)] == [False, True, False]


def scores(value: float) -> dict[str, float]:
    return {"t0": value, "t1": value}


def found(**changes: object) -> dict[str, object]:
    experts = {"t0": {"t0": 95.0, "t1": 0.0}, "t1": {"t0": 0.0, "t1": 95.0}}
    kept = {
        "base": scores(50),
        "experts": experts,
        "average": scores(70),
        "ceiling": scores(96),
        "sweep": sweep(0.3, 1.0),
    }
    return {**kept, **changes}


def test_a_sound_family_passes_with_its_figures() -> None:
    gate = facts.gate("x", found())
    assert all(bar["ok"] for bar in gate.values())
    assert gate["experts over base"]["value"] == 45.0
    assert gate["t0: expert of scratch"]["value"] == round(95 / 96, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": scores(85)}, "experts over base"),
        ({"average": scores(53)}, "average over base"),
        ({"average": scores(92)}, "average under experts"),
        ({"ceiling": scores(100.1)}, "t0: expert of scratch"),
        ({"sweep": sweep(0.0, 1.0)}, "interior optimum"),
        ({"base": {"t0": 91.0, "t1": 10.0}}, "t0: expert over base"),
    ],
)
def test_what_is_unsound_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(RunError, match=said):
        facts.gate("x", found(**change))


def test_an_expert_may_be_held_to_points_of_its_own() -> None:
    gate = facts.gate("x", found(), {"t0": 80.0})
    assert gate["t0: expert"]["want"] == ">= 80 points"
    with pytest.raises(RunError, match="t0: expert "):
        facts.gate("x", found(), {"t0": 99.5})
