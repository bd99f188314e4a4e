"""Store the coefficients that AdaMerging's official scripts learn in their first steps.

python tools/goldens/adamerging.py --checkout PATH

The scripts run as they are, on a tiny model; data, heads, evaluation and files are stand-ins, and a script is left
after the last step that is asked for.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import foreign
import torch
import torch._dynamo  # before its own imports are stood in for

sys.path.insert(0, str(foreign.PARITY))
import coefficients_inputs as inputs

REPOSITORY = "EnnengYang/AdaMerging"
COMMIT = "cea1165ad900113b8a52ae5ff190626576635f9b"
SCRIPTS = {
    f"{kind}{suffix}": f"main_{kind}_wise_adamerging{'pp' if suffix else ''}.py"
    for kind in ("layer", "task")
    for suffix in ("", "_plus_plus")
}
KEPT = (1, 5, inputs.STEPS)


class Enough(Exception):
    """The last step is done."""


def model(weights: dict[str, torch.Tensor]) -> Any:
    """A body with weights, as the official checkpoints are."""
    found = inputs.Body()
    found.load_state_dict(weights)
    found.val_preprocess = None
    return found


def opened(path: str) -> Any:
    """What the scripts load: the base, or the expert of the data set that the path names."""
    name = Path(path).parent.name
    return model(inputs.expert(inputs.TASKS.index(name)) if name in inputs.TASKS else inputs.base())


class Watch:
    """Gives data, counts the steps by it, and notes the coefficients."""

    def __init__(self) -> None:
        self.step, self.scope, self.found = 0, {}, {}

    def data(self, name: str, *_: Any, **__: Any) -> int:
        """A data set; the first one begins a step."""
        task = inputs.TASKS.index(name)
        if task == 0:
            self._note()
            self.step += 1
        return task

    def _note(self) -> None:
        if self.step in KEPT:
            self.found[self.step] = self.scope["adamerging_mtl_model"].lambdas().detach()[:, 1:].clone()
        if self.step == inputs.STEPS:
            raise Enough

    def loader(self, task: int) -> Iterator[dict[str, torch.Tensor]]:
        """Two batches of 16."""
        for part in inputs.images(task).split(16):
            yield {"images": part, "labels": torch.zeros(16)}


def stand_ins(watch: Watch) -> None:
    """Modules in the place of data, heads and evaluation."""
    rows = {
        "args": {"parse_arguments": lambda: argparse.Namespace(device="cpu")},
        "tqdm": {"tqdm": lambda it: it},
        "eval": dict.fromkeys(
            ("eval_single_dataset", "eval_single_dataset_head", "eval_single_dataset_preprocess_head"),
            lambda *_: {"top1": 0.0},
        ),
        "heads": {"get_classification_head": lambda _args, name: classifier(inputs.TASKS.index(name))},
        "datasets": {"__path__": []},
        "datasets.registry": {"get_dataset": watch.data},
        "datasets.common": {
            "get_dataloader": None, "maybe_dictionarize": lambda x: x, "get_dataloader_shuffle": watch.loader,
        },
        "matplotlib": {"__path__": []},
        "matplotlib.pyplot": {},
    }  # fmt: skip
    for name, values in rows.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(values)


def classifier(task: int) -> torch.nn.Module:
    """The head of a task."""
    found = torch.nn.Linear(inputs.FEATURES, inputs.CLASSES, bias=False)
    found.weight.data = inputs.head(task)
    return found.requires_grad_(requires_grad=False)


def run(path: Path) -> dict[int, torch.Tensor]:
    """One script, until enough steps are done; step -> coefficients (rows, tasks)."""
    watch = Watch()
    stand_ins(watch)
    scope: dict[str, Any] = {"__name__": "__main__"}
    watch.scope = scope
    sys.path.insert(0, str(path.parent))
    try:
        exec(compile(path.read_text(), str(path), "exec"), scope)
    except Enough:
        pass
    finally:
        sys.path.remove(str(path.parent))
    return watch.found


def main() -> None:
    """Run the four scripts."""
    sources = foreign.checkout(COMMIT, __doc__ or "") / "src"
    torch.load = lambda path, *_, **__: copy.deepcopy(opened(path))  # type: ignore[assignment]
    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[assignment,method-assign]
    make, os.makedirs = os.makedirs, lambda *_, **__: None  # type: ignore[assignment]
    logging.disable(logging.CRITICAL)
    logging.FileHandler = lambda *_: logging.NullHandler()  # type: ignore[assignment,misc]
    real, sys.stdout = sys.stdout, Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the scripts print
    found = {label: run(sources / script) for label, script in SCRIPTS.items()}
    sys.stdout = real
    rows = {f"{label}/{step}": value for label, steps in found.items() for step, value in steps.items()}
    os.makedirs = make
    foreign.store("adamerging", rows, REPOSITORY, COMMIT, foreign.PARITY / "goldens" / "learnt")


if __name__ == "__main__":
    main()
