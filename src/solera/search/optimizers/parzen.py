"""The tree-structured Parzen estimator, and random search, by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solera.errors import MissingExtra
from solera.search.optimizers.contract import Losses
from solera.search.space import Space, Unit

_SIZES = {"tpe": 4, "random": 8}


@dataclass(eq=False)
class Study:
    """An Optuna study with the sampler ``tpe`` or ``random``; any number of objectives.

    TPE is asked for four points before it is told, so that workers have something to do; give a population of 1 for
    one after the other. Failed candidates are told as failed.

    Raises:
        MissingExtra: Optuna is not installed.
    """

    space: Space
    seed: int = 0
    size: int | None = None
    objectives: int = 1
    sampler: str = "tpe"
    _inner: Any = field(init=False)
    _asked: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Make the study; the start is its first trial."""
        try:
            import optuna
        except ImportError:
            raise MissingExtra("search", needed_for=f"the optimizer {self.sampler}") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        samplers = optuna.samplers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # multivariate TPE is called experimental since years
            chosen = (
                samplers.RandomSampler(seed=self.seed)
                if self.sampler == "random"
                else samplers.TPESampler(
                    seed=self.seed, multivariate=True, n_startup_trials=max(10, len(self.space) // 2)
                )
            )
            self._inner = optuna.create_study(directions=["minimize"] * self.objectives, sampler=chosen)
        self._inner.enqueue_trial(self._parameters(self.space.unit(self.space.start)))

    @property
    def population(self) -> int:
        """Points of one population."""
        return self.size or _SIZES[self.sampler]

    def ask(self) -> Sequence[Unit]:
        """The next population."""
        self._asked = [self._inner.ask(self._distributions()) for _ in range(self.population)]
        return [self._point(trial.params) for trial in self._asked]

    def tell(self, points: Sequence[Unit], losses: Sequence[Losses | None]) -> None:
        """What the population scored."""
        del points
        from optuna.trial import TrialState

        for trial, loss in zip(self._asked, losses, strict=True):
            if loss is None:
                self._inner.tell(trial, state=TrialState.FAIL)
            else:
                self._inner.tell(trial, list(loss))

    @property
    def settled(self) -> bool:
        """Never."""
        return False

    def keep(self, file: Path, name: str) -> None:
        """Write the study as an Optuna journal, for Optuna's own tools (dashboard, plots, importance of genes)."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        file.unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(file)))
        copy = optuna.create_study(storage=storage, study_name=name, directions=self._inner.directions)
        copy.add_trials([trial for trial in self._inner.trials if trial.state.is_finished()])

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            axis.name: CategoricalDistribution(list(axis.choices)) if axis.kind == "choice" else FloatDistribution(0, 1)
            for axis in self.space.axes
        }

    def _point(self, parameters: dict[str, Any]) -> Unit:
        axes = self.space.axes
        return tuple(a.unit(parameters[a.name]) if a.kind == "choice" else float(parameters[a.name]) for a in axes)

    def _parameters(self, point: Unit) -> dict[str, Any]:
        axes = zip(self.space.axes, point, strict=True)
        return {axis.name: axis.at(place) if axis.kind == "choice" else place for axis, place in axes}
