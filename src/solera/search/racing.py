"""Racing: a population is scored on few items first, and only its better part on more.

Source: successive halving, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (arXiv:1502.07943).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from solera.errors import BadParameter
from solera.search.contract import WHOLE, Outcome
from solera.search.space import Genome

Score = Callable[[Sequence[Genome], str], Sequence[Outcome]]
"""Genomes and the name of a set of items -> outcomes in that order."""
Rank = Callable[[Outcome], float]
"""More is better; failed outcomes are below all others."""


@dataclass(frozen=True, slots=True)
class Race:
    """Rounds of a race, and the share of a population that goes on from each.

    Attributes:
        rounds: names of sets of items; no item is in two of them.
        counts: for each round, task -> its items; empty where there is one round.
    """

    rounds: tuple[str, ...] = (WHOLE,)
    counts: tuple[Mapping[str, int], ...] = ()
    keep: float = 0.5

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            BadParameter: it is not between 0 and 1.
        """
        if not 0 < self.keep < 1:
            raise BadParameter("`--keep` is not usable.", got=self.keep, want="a share in (0, 1)")


@dataclass(frozen=True, slots=True)
class Run:
    """What a race made of one genome: the outcome on all items that it was scored on, and the round it reached."""

    outcome: Outcome
    reached: int = 0


def run_race(race: Race, genomes: Sequence[Genome], score: Score, rank: Rank) -> list[Run]:
    """Score genomes round by round; of equals the earlier one goes on, and at least one does.

    Example:
        >>> race = Race(("few", "rest"), ({"t": 2}, {"t": 6}))
        >>> outcomes = lambda genomes, name: [Outcome({"t": g[0]}, 2 if name == "few" else 6) for g in genomes]
        >>> runs = run_race(race, [(0.1,), (0.9,)], outcomes, lambda outcome: outcome.scores["t"])
        >>> [(run.reached, run.outcome.items) for run in runs]
        [(0, 2), (1, 8)]
    """
    runs: list[Run] = []
    going = list(range(len(genomes)))
    for number, items in enumerate(race.rounds):
        outcomes = score([genomes[k] for k in going], items)
        if number == 0:
            runs = [Run(outcome) for outcome in outcomes]
        else:
            for k, outcome in zip(going, outcomes, strict=True):
                runs[k] = Run(_joined(runs[k].outcome, outcome, race, number), number)
        better = sorted((k for k in going if not runs[k].outcome.failed), key=lambda k: -rank(runs[k].outcome))
        going = sorted(better[: max(1, math.ceil(race.keep * len(going)))])
    return runs


def _joined(before: Outcome, new: Outcome, race: Race, number: int) -> Outcome:
    """The outcome on the items of this round and all before."""
    if new.failed:
        return new
    scores = {}
    for task, score in new.scores.items():
        past, now = sum(counts[task] for counts in race.counts[:number]), race.counts[number][task]
        scores[task] = (before.scores[task] * past + score * now) / (past + now)
    return replace(
        new, scores=scores, items=before.items + new.items,
        merge_s=before.merge_s + new.merge_s, score_s=before.score_s + new.score_s,
    )  # fmt: skip


def capped(values: Sequence[float | None], reached: Sequence[int]) -> list[float | None]:
    """Values of a race as an optimizer is told them: who left earlier is never above who stayed longer.

    Example:
        >>> capped([0.9, 0.5, 0.6, None], [0, 1, 1, 0])
        [0.5, 0.5, 0.6, None]
    """
    told: list[float | None] = list(values)
    for number in sorted(set(reached), reverse=True):
        later = [v for v, r in zip(told, reached, strict=True) if r > number and v is not None]
        if later:
            told = [
                min(later) if v is not None and r == number and v > min(later) else v
                for v, r in zip(told, reached, strict=True)
            ]
    return told
