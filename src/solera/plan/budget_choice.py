"""Which blocks to read: those whose squared coefficients times squared differences are largest per byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_TRIES = 4096
"""Blocks that are tried for what is left over after the first that does not fit."""


@dataclass(eq=False)
class Unit:
    """A leaf of one model, of which blocks may be read or not.

    `group`: its layer, or what stands for it. `squares`: of the difference, by block; `worth`: the same times squared
    coefficients. `step`: blocks that are read together. `times`: how often the merge reads it.
    """

    group: int
    nbytes: int
    block_bytes: int
    squares: NDArray[np.float64]
    worth: NDArray[np.float64]
    step: int = 1
    times: int = 1
    chosen: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is chosen yet."""
        self.chosen = np.zeros(self.squares.size, np.bool_)

    def bundles(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Worth and bytes of every run of blocks that are read together."""
        starts = np.arange(0, self.squares.size, self.step)
        ends = np.minimum((starts + self.step) * self.block_bytes, self.nbytes)
        return np.add.reduceat(self.worth, starts), (ends - starts * self.block_bytes) * self.times

    def take(self, bundles: NDArray[np.int64]) -> None:
        """Choose runs."""
        for bundle in bundles:
            self.chosen[bundle * self.step : (bundle + 1) * self.step] = True


def choose(units: Sequence[Unit], nbytes: int, floors: Mapping[int, float]) -> int:
    """Choose blocks for at most `nbytes`, every group's floor first; returns the bytes chosen.

    Ties go to the earlier unit and block. Blocks without a difference are never chosen: they are the base's.

    Example:
        >>> unit = Unit(0, 24, 8, np.array([1.0, 9.0, 4.0]), np.array([1.0, 9.0, 4.0]))
        >>> choose([unit], 17, {}), unit.chosen.tolist()
        (16, [False, True, True])
    """
    bundles = [unit.bundles() for unit in units]
    counts = [worth.size for worth, _ in bundles]
    worth = np.concatenate([w for w, _ in bundles] or [np.zeros(0)])
    sizes = np.concatenate([s for _, s in bundles] or [np.zeros(0, np.int64)])
    owner = np.repeat(np.arange(len(units)), counts)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order = np.argsort(-worth / np.maximum(sizes, 1), kind="stable")
    order = order[worth[order] > 0]
    taken = _floors(units, order, sizes, owner, floors)
    rest = order[~taken[order]]
    left = nbytes - int(sizes[taken].sum())
    taken[_prefix(rest, sizes, left)] = True
    for u, unit in enumerate(units):
        unit.take(np.flatnonzero(taken[first[u] : first[u + 1]]))
    return int(sizes[taken].sum())


def _prefix(order: NDArray[np.int64], sizes: NDArray[np.int64], nbytes: int) -> NDArray[np.int64]:
    """The best blocks that fit together; what is left over goes to later ones that are small enough."""
    running = sizes[order].cumsum()
    count = int(np.searchsorted(running, nbytes, side="right"))
    left = nbytes - (int(running[count - 1]) if count else 0)
    more = []
    for i in order[count : count + _TRIES]:
        if sizes[i] <= left:
            more.append(i)
            left -= int(sizes[i])
    return np.concatenate([order[:count], np.array(more, np.int64)])


def _floors(
    units: Sequence[Unit],
    order: NDArray[np.int64],
    sizes: NDArray[np.int64],
    owner: NDArray[np.int64],
    floors: Mapping[int, float],
) -> NDArray[np.bool_]:
    """The best blocks of every group, until its share is reached."""
    taken = np.zeros(sizes.size, np.bool_)
    groups = np.array([unit.group for unit in units], np.int64)[owner] if units else np.zeros(0, np.int64)
    for group, share in floors.items():
        mine = order[groups[order] == group]
        want = share * sum(unit.nbytes * unit.times for unit in units if unit.group == group)
        before = sizes[mine].cumsum() - sizes[mine]
        taken[mine[before < want]] = True
    return taken


def floor_bytes(units: Sequence[Unit], floors: Mapping[int, float]) -> int:
    """Bytes that the floors alone take."""
    probe = [Unit(u.group, u.nbytes, u.block_bytes, u.squares, u.worth, u.step, u.times) for u in units]
    return choose(probe, 0, floors)
