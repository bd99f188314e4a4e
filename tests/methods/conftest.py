"""A hand-checked fixture of one base and two models, and random operands of several shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from solera.ops.contract import Chain, Facts, Stack, run_whole

SHAPES = {"matrix": (6, 8), "vector": (9,), "one": (1,), "number": (), "cube": (3, 4, 5)}


@dataclass(frozen=True)
class Operands:
    """A base and task vectors, in float64."""

    base: np.ndarray
    deltas: np.ndarray

    @property
    def models(self) -> np.ndarray:
        return self.base + self.deltas

    def on_deltas(self, chain: Chain, **facts: object) -> np.ndarray:
        """Base plus what the chain makes of the task vectors."""
        return self.base + _run(chain, self.deltas, self.base, facts)

    def on_weights(self, chain: Chain, *, base: bool = False, picked: Sequence[int] | None = None) -> np.ndarray:
        """What the chain makes of the models themselves; `picked` lists some of them."""
        models = self.models if picked is None else self.models[list(picked)]
        return _run(chain, models, self.base if base else None, {})


def _run(chain: Chain, values: np.ndarray, base: np.ndarray | None, facts: dict[str, object]) -> np.ndarray:
    start = None if base is None else torch.from_numpy(np.array(base, np.float32))
    stack = Stack(torch.from_numpy(np.array(values, np.float32)), start)
    names = tuple(f"m{k}" for k in range(len(values)))
    return run_whole(chain, stack, Facts(base_shape(values), models=names, **facts)).double().numpy()


def base_shape(values: np.ndarray) -> tuple[int, ...]:
    return tuple(values.shape[1:])


@pytest.fixture
def golden() -> Operands:
    """Two task vectors with distinct magnitudes."""
    base = np.array([[1.0, 2, 3], [4, 5, 6]])
    deltas = np.array([[[0.4, -0.2, 0.1], [0, 0.3, -0.5]], [[0.25, 0.45, -0.35], [0.05, -0.15, -0.22]]])
    return Operands(base, deltas)


@pytest.fixture(params=SHAPES)
def three(request: pytest.FixtureRequest) -> Operands:
    """Three models of one shape; a quarter of the task vectors' entries is zero."""
    rng = np.random.default_rng(len(request.param))
    shape = SHAPES[request.param]
    deltas = rng.normal(0, 0.1, (3, *shape)) * (rng.random((3, *shape)) > 0.25)
    return Operands(f32(rng.normal(0, 1, shape)), f32(deltas))


@pytest.fixture(params=SHAPES)
def two(request: pytest.FixtureRequest) -> Operands:
    """Two models of one shape."""
    rng = np.random.default_rng(10 + len(request.param))
    shape = SHAPES[request.param]
    return Operands(f32(rng.normal(0, 1, shape)), f32(rng.normal(0, 0.3, (2, *shape))))


def f32(values: np.ndarray) -> np.ndarray:
    """Rounded to float32, kept as float64."""
    return np.asarray(values, np.float32).astype(np.float64)
