"""Examples of the tasks, one by one, and which of them a step sees: a function of seed and step, so nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from solera.errors import BadParameter
from solera.learn.coefficients.contract import Settings, TaskData
from solera.learn.statistics.contract import IGNORED, Batch

_PADDED = {"labels": IGNORED}
"""What is put where an example is shorter than others; 0 where nothing is said."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The examples of one task, each a batch of one. `expert`: the model that knows the task."""

    name: str
    rows: tuple[Batch, ...]
    expert: int

    def batch(self, chosen: Sequence[int]) -> Batch:
        """Some of them as one batch, padded on the right."""
        return joined([self.rows[i] for i in chosen])


def pools_of(data: Sequence[TaskData], experts: int) -> tuple[Pool, ...]:
    """Take batches apart.

    Raises:
        BadParameter: there is no data, a task has none, its expert is not in the merge, or the inputs of a batch are
            not of one length.
    """
    if not data:
        raise BadParameter("There is no calibration data.", want="examples of every task", fix="name data with --data")
    return tuple(_pool(task, experts) for task in data)


def _pool(task: TaskData, experts: int) -> Pool:
    if not 0 <= task.expert < experts:
        raise BadParameter("A task has no expert.", where=task.name, got=task.expert, want=f"a model in [0, {experts})")
    rows = tuple(row for batch in task.batches for row in _rows(task.name, batch))
    if not rows:
        raise BadParameter("There is no calibration data.", where=task.name, want="at least one example")
    return Pool(task.name, rows, task.expert)


def _rows(name: str, batch: Batch) -> Iterator[Batch]:
    lengths = {key: len(value) for key, value in batch.inputs.items()}
    if batch.labels is not None:
        lengths["labels"] = len(batch.labels)
    if len(set(lengths.values())) != 1:
        got = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise BadParameter("The inputs of a batch are of unequal lengths.", where=name, got=got, want="one length")
    for i in range(batch.size):
        row = batch.rows(i, i + 1)
        mask = row.mask
        yield row if mask is None else _unpadded(row, int(mask[0].nonzero()[-1]) + 1 if bool(mask.any()) else 0)


def _unpadded(row: Batch, length: int) -> Batch:
    """An example without the padding on its right."""
    width = row.inputs["attention_mask"].shape[1]

    def cut(value: Tensor) -> Tensor:
        return value[:, :length] if value.dim() >= 2 and value.shape[1] == width else value

    labels = None if row.labels is None else cut(row.labels)
    return replace(row, inputs={name: cut(value) for name, value in row.inputs.items()}, labels=labels)


def joined(rows: Sequence[Batch]) -> Batch:
    """Examples as one batch; shorter ones are padded on the right where a mask says so.

    Raises:
        BadParameter: examples of unequal lengths have no mask, or differ in their inputs.

    Example:
        >>> def row(*ids):
        ...     return Batch({"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))})
        >>> joined([row(1, 2), row(3)]).inputs["input_ids"]
        tensor([[1, 2],
                [3, 0]])
    """
    first = rows[0]
    if any(set(row.inputs) != set(first.inputs) or (row.labels is None) != (first.labels is None) for row in rows):
        raise BadParameter("Examples of one task differ in their inputs.", want=", ".join(first.inputs))
    inputs = {name: _stacked(name, [row.inputs[name] for row in rows], first) for name in first.inputs}
    labels = [row.labels for row in rows if row.labels is not None]
    return replace(first, inputs=inputs, labels=_stacked("labels", labels, first) if labels else None)


def _stacked(name: str, values: Sequence[Tensor], first: Batch) -> Tensor:
    if len({value.shape[1:] for value in values}) == 1:
        return torch.cat(list(values))
    if "attention_mask" not in first.inputs or any(value.dim() != 2 for value in values):
        got = ", ".join(sorted({str(tuple(value.shape[1:])) for value in values}))
        fix = "give an attention_mask, or examples of one length; or --batch 1"
        raise BadParameter("Examples of unequal lengths cannot be one batch.", where=name, got=got, fix=fix)
    longest, fill = max(value.shape[1] for value in values), _PADDED.get(name, 0)
    out = values[0].new_full((len(values), longest), fill)
    for i, value in enumerate(values):
        out[i, : value.shape[1]] = value[0]
    return out


def parted(pools: Sequence[Pool], share: float, seed: int) -> tuple[tuple[Pool, ...], tuple[Pool, ...]]:
    """Pools to learn from and pools to check on; a share of 0 leaves the second empty.

    Raises:
        BadParameter: a task would have nothing left on one side.
    """
    if share == 0:
        return tuple(pools), ()
    learnt, held = [], []
    for number, pool in enumerate(pools):
        count, order = round(share * len(pool.rows)), _order(seed, number, -1, len(pool.rows))
        if not 0 < count < len(pool.rows):
            got = f"{len(pool.rows)} examples"
            raise BadParameter(
                "`held_out` leaves a task without examples.", where=pool.name, got=got, want="more examples"
            )
        held.append(replace(pool, rows=tuple(pool.rows[i] for i in order[:count])))
        learnt.append(replace(pool, rows=tuple(pool.rows[i] for i in order[count:])))
    return tuple(learnt), tuple(held)


def drawn(pools: Sequence[Pool], said: Settings, step: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """What one step sees: (task, examples), batch by batch.

    Every task's examples are seen in a new order each time. Where not every task takes part in every step, tasks
    take turns.

    Example:
        >>> rows = (Batch({"x": torch.zeros(1, 1)}),) * 4
        >>> pools = [Pool("a", rows, 0), Pool("b", rows, 1)]
        >>> said = Settings(batch=2, batches=2, each_task=False)
        >>> [[task for task, _ in drawn(pools, said, step)] for step in range(2)]
        [[0, 1], [0, 1]]
    """
    for j in range(said.batches):
        for task, pool in enumerate(pools) if said.each_task else [_turn(pools, step * said.batches + j)]:
            nth = step * said.batches + j if said.each_task else (step * said.batches + j) // len(pools)
            yield (
                task,
                tuple(_row(pool, said, task, nth * said.batch + i) for i in range(min(said.batch, len(pool.rows)))),
            )


def _turn(pools: Sequence[Pool], number: int) -> tuple[int, Pool]:
    task = number % len(pools)
    return task, pools[task]


def _row(pool: Pool, said: Settings, task: int, number: int) -> int:
    """The example that is drawn as the `number`-th of its task."""
    count = len(pool.rows)
    return _order(said.seed, task, number // count, count)[number % count]


_ORDERS: dict[tuple[int, int, int, int], list[int]] = {}


def _order(seed: int, task: int, epoch: int, count: int) -> list[int]:
    key = (seed, task, epoch, count)
    if key not in _ORDERS:
        if len(_ORDERS) > 256:
            _ORDERS.clear()
        draw = torch.Generator().manual_seed((seed * 1_000_003 + task) * 1_000_003 + epoch + 1)
        _ORDERS[key] = torch.randperm(count, generator=draw).tolist()
    return _ORDERS[key]
