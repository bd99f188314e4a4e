"""The order in which a run's bytes reach their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import solera
from solera.checkpoints.reader import FileReader
from solera.execute.inmemory import Unrecorded
from solera.execute.journal import Past
from solera.execute.places import Place
from solera.execute.run import LONG, execute_into
from solera.plan.cost import shape_for
from tests.conftest import recipe


@dataclass
class Tensor:
    """A tensor's place in a target that remembers whose bytes came."""

    name: str
    in_order: bool
    seen: list[str]

    def write(self, offset: int, data: Any) -> None:
        self.seen.append(self.name)


@pytest.mark.parametrize("in_order", [True, False])
def test_only_targets_that_wait_for_earlier_bytes_get_all_in_order(zoo, in_order):
    z = zoo(vocab=64)
    plan = solera.plan(recipe("linear", [z["e0"], z["e1"]]))
    seen: list[str] = []
    places = {tensor.name: Place(Tensor(tensor.name, in_order, seen), 0) for tensor in plan.outputs}
    with FileReader() as reader:
        shape = shape_for(plan.outputs, 1 << 30, 1)
        execute_into(places, plan, shape, reader, Unrecorded(), Past(), lambda _event: None)
    came, lie = list(dict.fromkeys(seen)), [tensor.name for tensor in plan.outputs]
    least = sum(tensor.numel for tensor in plan.outputs) / LONG
    long = {tensor.name for tensor in plan.outputs if tensor.numel > least}
    assert long
    assert came == (lie if in_order else sorted(lie, key=lambda name: name not in long))
    assert (came == lie) is in_order
