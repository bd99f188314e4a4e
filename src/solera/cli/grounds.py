"""Testbeds as grounds of searches: tasks, and a module of the shape that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.evaluate.contract import Split, Task
    from solera.testbeds.contract import Size


@dataclass(eq=False)
class BedGround:
    """A testbed's tasks, and a module; see `search.contract.Ground`."""

    module: Any
    config: Mapping[str, Any]
    tasks: Mapping[Split, tuple[Task, ...]]


@dataclass(frozen=True, slots=True)
class BedSource:
    """A built testbed, and a model whose shape the candidates have: base, experts and extras may differ in it."""

    name: str
    size: Size
    seed: int
    folder: Path | None
    shape: str

    def open(self, scores: None) -> BedGround:
        """Load the model and the tasks.

        Raises:
            NotFound: the testbed is not built. CheckpointError: it cannot load the model.
        """
        del scores
        from solera import testbeds
        from solera.app.holding import open_again
        from solera.checkpoints import parse_ref

        built = testbeds.open_built(self.name, size=self.size, seed=self.seed, cache=self.folder)
        ref = parse_ref(self.shape)
        tasks = {split: testbeds.tasks(built, split) for split in _SPLITS}
        return BedGround(testbeds.load(built, Path(ref.path)), open_again(ref).config, tasks)


_SPLITS: tuple[Split, ...] = ("validation", "test")
