"""Inputs of testbeds as calibration data: what experts were trained on, unless another split is asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from solera.errors import BadParameter, UnknownName, nearest
from solera.testbeds.homes import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from solera.learn.statistics import Batch, Cut
    from solera.testbeds.contract import Built
    from solera.types import ModelRef


Part = Literal["train", "validation", "test"]


def testbed_batches(built: Built, task: str, cut: Cut, part: Part = "train") -> list[Batch]:  # noqa: PT028 - no test
    """Labelled inputs of one task of a testbed.

    Args:
        built: a finished testbed with labelled data: vision-8, lm-6 or moe-8.
        task: a task that has an expert; of moe-8, one that its models were trained on.
        cut: how much is taken.
        part: inputs for training; or those that models are tuned or judged on, for methods that use no labels.

    Raises:
        BadParameter: the testbed has no such data. UnknownName: it has no such task.
    """
    kind = kind_of(built.name)
    if kind not in _MAKERS:
        raise BadParameter("The testbed has no calibration data.", got=built.name, want=", ".join(_MAKERS))
    known = built.experts or _jobs(built)
    if task not in known:
        raise UnknownName(f"{built.name} has no expert for `{task}`.", fix=nearest(task, known))
    return _MAKERS[kind](built, task, cut, part)


def bed_and_task(text: str) -> tuple[str, str]:
    """``NAME/TASK``, or ``NAME:SOURCE/TASK`` where the source may be a path, as name and task.

    Example:
        >>> bed_and_task("vision-8/rotated"), bed_and_task("vision-8:/data/idx/rotated")
        (('vision-8', 'rotated'), ('vision-8:/data/idx', 'rotated'))
    """
    at = text.rfind("/") if ":" in text else text.find("/")
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def batches_of(name: str, ref: ModelRef, cut: Cut, testbed: tuple[str, int, Path | None]) -> list[Batch]:
    """Batches for a model from a file, a folder, `datasets:NAME`, or `testbed:NAME/TASK` of a size, seed and cache.

    Raises:
        SoleraError: see `learn.statistics.read_batches` and `testbed_batches`.
    """
    from solera.learn.statistics import read_batches

    if not name.startswith("testbed:"):
        return read_batches(name, ref, cut)
    from solera import testbeds
    from solera.testbeds.cache import known_size

    bed, task = bed_and_task(name.removeprefix("testbed:"))
    size, seed, cache = testbed
    return testbed_batches(testbeds.open_built(bed, size=known_size(size), seed=seed, cache=cache), task, cut)


def _images(built: Built, task: str, cut: Cut, part: Part) -> list[Batch]:
    """Views of images; the logits that answer are the task's own."""
    import torch

    from solera.learn.statistics import Batch
    from solera.testbeds.vision import images
    from solera.testbeds.vision.training import named
    from solera.testbeds.vision.views import as_input, as_tensor

    view, source = named(task), images.read(built.folder, part)
    pixels = as_input(view.show(as_tensor(source.pixels[: cut.samples]))).contiguous()
    labels = view.label(torch.as_tensor(source.classes[: cut.samples]))
    pairs = zip(torch.split(pixels, cut.batch), torch.split(labels, cut.batch), strict=True)
    return [Batch({"pixel_values": shown}, right, view.logits) for shown, right in pairs]


def _jobs(built: Built) -> Mapping[str, Path]:
    """Tasks of a testbed whose models are trained on all of them."""
    from solera.testbeds.language.sizes import sizes

    return dict.fromkeys(sizes(built.size).jobs, built.base)


def _sentences(built: Built, task: str, cut: Cut, part: Part) -> list[Batch]:
    """Questions and answers of items; what is asked is no label."""
    import torch

    from solera.learn.statistics import Batch
    from solera.testbeds.language.batches import encoded, examples, padded
    from solera.testbeds.language.items import seeded
    from solera.testbeds.language.lm_stages import tokenizer_of
    from solera.testbeds.language.sizes import sizes

    pairs = examples(sizes(built.size).jobs[task].asked, part, cut.samples, seeded(f"{built.seed}/calibration"))
    rows = encoded(tokenizer_of(built.experts.get(task, built.base)), pairs)
    found = []
    for i in range(0, len(rows), cut.batch):
        batch = padded(rows[i : i + cut.batch])
        lengths = torch.tensor([len(a) + len(b) for a, b in rows[i : i + cut.batch]])
        mask = (torch.arange(batch.ids.shape[1]) < lengths[:, None]).long()
        found.append(Batch({"input_ids": batch.ids, "attention_mask": mask}, batch.labels))
    return found


_MAKERS: Mapping[str, Callable[..., list[Batch]]] = {"vision-8": _images, "lm-6": _sentences, "moe-8": _sentences}
