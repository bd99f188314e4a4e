"""The router of a pack in the making: features of the staged start, a small network, one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from solera.app.pack_files import part_file
from solera.app.pack_report import Lessons, PackMake
from solera.errors import BadParameter
from solera.inference.routed.index import Pack, RouterPart
from solera.types import DType, Event, TensorSpec

FILE = "router.safetensors"
FEW = 4
"""Inputs on which mixtures are tried."""


def teach(pack: Pack, lessons: Lessons, wanted: PackMake, listener: Callable[[Event], None]) -> RouterPart:
    """Train the router of a staged pack, and write it there.

    Cost: one forward pass over the examples with the start's weights; the start in memory.

    Raises:
        CheckpointError: the architecture gives no features. BadParameter: a task has too few examples.
        MissingExtra: transformers is not installed.
    """
    from solera.inference.routed.config import PackConfig
    from solera.inference.routed.contents import read_contents
    from solera.inference.routed.loading import live
    from solera.inference.routed.mixing import proven
    from solera.inference.routed.model import PackModel
    from solera.inference.routed.training import Lessons as Schooling
    from solera.inference.routed.training import train_router

    contents = read_contents(pack)
    inner = live(pack, contents, dtype="float32")
    features = _features(pack, inner, lessons, wanted.layer, listener)
    router, accuracy = train_router(features, Schooling(hidden=wanted.hidden, seed=wanted.seed))
    _write(pack, router)
    width, hidden = router.first.in_features, router.first.out_features
    made = RouterPart(FILE, wanted.layer, width, hidden, sum(map(len, features)), accuracy)
    model = PackModel(PackConfig(inner=dict(pack.config)), pack, inner, contents, router)
    return replace(made, mixes=pack.use == "all" and proven(model, _few(lessons)))


def _few(lessons: Lessons) -> dict[str, Tensor]:
    """Some inputs of the first task."""
    first = next(iter(next(iter(lessons))))
    return {name: value[:FEW] for name, value in first.inputs.items()}


def answers_of(lessons: Lessons) -> list[tuple[int, int] | None]:
    """Which logits answer, by task: as all of its examples say."""
    found = []
    for batches in lessons:
        said = {(b.answers.start or 0, b.answers.stop) if b.answers is not None else None for b in batches}
        found.append(said.pop() if len(said) == 1 else None)
    return found


def _features(
    pack: Pack, inner: nn.Module, lessons: Lessons, layer: int, listener: Callable[[Event], None]
) -> list[Tensor]:
    from solera.inference.routed.routing import features_of

    found: list[Tensor] = []
    for done, batches in enumerate(lessons, 1):
        rows = [features_of(inner, batch.inputs, layer) for batch in batches]
        if not rows:
            raise BadParameter("A task has no examples.", got=pack.names[done - 1], want="2 or more")
        found.append(torch.cat(rows))
        listener(Event("progress", "router", done=done, total=len(lessons), unit="tasks"))
    return found


def _write(pack: Pack, router: nn.Module) -> None:
    state = {name: value.detach() for name, value in router.state_dict().items()}
    specs = {name: TensorSpec(DType.F32, tuple(value.shape)) for name, value in state.items()}
    with part_file(pack.folder, FILE, specs) as file:
        for name, value in state.items():
            file.write(name, value)


__all__: Sequence[str] = ["FILE", "answers_of", "teach"]
