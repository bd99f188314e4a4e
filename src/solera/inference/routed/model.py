"""A pack as a model of transformers: every input runs with the weights of its own task, or of its own mixture.

The model inside is an ordinary one; its weights are rebuilt when other ones are wanted, so that any architecture
works. A batch is parted into groups of inputs that want the same weights; the result is that of one input at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from solera.errors import BadParameter, CheckpointError, ShapeMismatch
from solera.inference.routed.config import PackConfig
from solera.inference.routed.contents import Contents
from solera.inference.routed.grouping import Group, Weights, groups_of, labelled, rows_of, together
from solera.inference.routed.index import Pack
from solera.inference.routed.mixing import Mixing, mixing
from solera.inference.routed.places import Place, placed, places_of, put, shape_at, swap
from solera.inference.routed.routing import Router, features_of

Tasks = str | Sequence[str]
"""One name for all inputs of a batch, or one for each."""


class PackModel(PreTrainedModel):  # type: ignore[misc]
    """Many experts in one model; see `load_pack`.

    Every call takes, beside what the model inside takes, ``task=`` (a name for all inputs, or one for each) or
    ``weights=`` ((tasks,) or (batch, tasks)); with neither the pack's router decides for every input by itself.

    It is for inference: weights are rebuilt in place, so one model serves one thread at a time.
    """

    config_class = PackConfig
    base_model_prefix = "inner"
    auto_class = "AutoModel"
    inner: Any

    def __init__(
        self,
        config: PackConfig,
        pack: Pack | None = None,
        inner: nn.Module | None = None,
        contents: Contents | None = None,
        router: Router | None = None,
    ) -> None:
        """Hold the parts that `load_pack` read.

        Raises:
            CheckpointError: only a config is given: a pack is made by `solera pack make`, not from a config.
        """
        if pack is None or inner is None or contents is None:
            raise CheckpointError("A pack cannot be made from a config.", fix="load one: from_pretrained(FOLDER)")
        super().__init__(config)
        self.pack, self.inner, self.contents, self.router = pack, inner, contents, router
        self.generation_config = getattr(inner, "generation_config", None)
        self._places = _wanted_places(inner, contents)
        self._given: Tensor | None = None
        self._now: Weights | None = None
        self._mixing: Mixing | None = None
        self.requires_grad_(requires_grad=False)
        self.eval()

    @classmethod
    def from_pretrained(cls, name: str | Path, *args: Any, **options: Any) -> Any:
        """Load a pack, as `transformers` calls it; see `load_pack`.

        Raises:
            SoleraError: the folder is no pack, is damaged, or holds another kind of model; an option is not known.
        """
        from solera.inference.routed.loading import from_pretrained

        del args
        return from_pretrained(cls, name, **options)

    @classmethod
    def can_generate(cls) -> bool:
        """Whether `generate` is there."""
        return False

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of the weights."""
        return self.pack.names

    def route(self, **inputs: Any) -> Tensor:
        """Weights of the tasks for every input, as the router gives them: (batch, tasks), each row sums to 1.

        Raises:
            BadParameter: the pack has no router.
        """
        if self.router is None or self.pack.router is None:
            fix = "make the pack with --data or --testbed to train a router"
            raise BadParameter("The pack has no router.", want=f"task= one of {', '.join(self.tasks)}", fix=fix)
        self.set_weights((0.0,) * len(self.tasks))
        with torch.no_grad():
            return self.router.weights(features_of(self.inner, inputs, self.pack.router.layer))

    @contextmanager
    def using(self, task: Tasks) -> Iterator[PackModel]:
        """Give the task for all calls inside, also those made by others (pipelines).

        Raises:
            UnknownName: there is no such task.
        """
        before, self._given = self._given, self._one_hot(task)
        try:
            yield self
        finally:
            self._given = before

    def forward(self, *args: Any, task: Tasks | None = None, weights: Any = None, **inputs: Any) -> Any:
        """Run a batch, each input with its own weights; the output is that of the model inside.

        Raises:
            UnknownName: there is no such task. BadParameter: the task is not given and there is no router.
            ShapeMismatch: not as many tasks or weights as inputs.
        """
        inputs = self._named(args, inputs)
        size = self._size(inputs)
        self._check_continued(inputs, given=task is not None or weights is not None)
        chosen = self.weights_for(inputs, task, weights)
        groups = groups_of(chosen)
        if self._mixes and not is_one_task(groups):
            return self.mixed(chosen, lambda: self.inner(**inputs))
        if len(groups) == 1:
            return self._run(groups[0], inputs)
        check_no_cache(inputs)
        parts = [rows_of(inputs, size, group.rows) for group in groups]
        counts = [labelled(part, shifted=self.can_generate()) for part in parts]
        outputs = [self._run(group, part) for group, part in zip(groups, parts, strict=True)]
        return together(outputs, groups, counts)

    def weights_for(self, inputs: Mapping[str, Any], task: Tasks | None = None, weights: Any = None) -> Tensor:
        """Weights of the tasks that each input of a batch runs with: (batch, tasks), float32.

        Raises:
            UnknownName, BadParameter, ShapeMismatch: as `forward`.
        """
        size = self._size(inputs)
        given = self._given if task is None and weights is None else self._said(task, weights)
        if given is None:
            given = self.route(**inputs).cpu()
            if self.pack.use == "one":
                given = torch.nn.functional.one_hot(given.argmax(-1), len(self.tasks)).float()
        given = given.expand(size, -1) if given.dim() == 1 else given
        if given.shape != (size, len(self.tasks)):
            want = f"{len(self.tasks)} for each of {size} inputs"
            raise ShapeMismatch("There are not as many weights as inputs.", got=list(given.shape), want=want)
        return given

    def set_weights(self, weights: Weights) -> None:
        """Rebuild the model inside: start + sum of weight x what the task adds."""
        if weights == self._now:
            return
        self._now = None
        with torch.no_grad():
            for name in self.contents.changed():
                put(self.inner, self._places[name], self.contents.merged(name, weights))
            for name in self.contents.owned():
                self._put_own(name, weights)
        self._now = weights

    def mixed(self, weights: Tensor, run: Callable[[], Any]) -> Any:
        """Run something in which every row of a batch has its own weights, without rebuilding.

        Raises:
            CheckpointError: the pack's parts do not allow it.
        """
        if self._mixing is None:
            self._mixing = mixing(self.inner, self.contents, self._places)
        if self._mixing is None:
            what = "The parts of this pack cannot be mixed in one pass."
            raise CheckpointError(what, where=self.pack.folder, want="whole parameters, no tensors of tasks' own")
        self.set_weights((0.0,) * len(self.tasks))
        with self._mixing.rows(weights.to(self.device)):
            return run()

    @property
    def _mixes(self) -> bool:
        return self.pack.router is not None and self.pack.router.mixes

    def save_pretrained(self, save_directory: str | Path, *, push_to_hub: bool = False, **options: Any) -> None:
        """Copy the pack's folder: what is in memory is never changed.

        Raises:
            BadParameter: `push_to_hub` is asked for.
        """
        import shutil

        del options
        if push_to_hub:
            raise BadParameter("A pack is not uploaded by saving it.", got="push_to_hub", fix="hf upload NAME FOLDER")
        if Path(save_directory).resolve() != self.pack.folder.resolve():
            shutil.copytree(self.pack.folder, save_directory, dirs_exist_ok=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> PackModel:
        """A copy; hooks of mixtures speak of the model that they were put into, and are made anew where needed."""
        import copy

        if self._mixing is not None:
            self._mixing.remove()
            self._mixing = None
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def _check_continued(self, inputs: Mapping[str, Any], *, given: bool) -> None:
        """A router sees only what is new of a continued text, and would choose anew."""
        if not given and self._given is None and inputs.get("past_key_values") is not None:
            want = "task= or weights=, the same as for the start of the text; or generate()"
            raise BadParameter("A continued text must be told its task.", want=want)

    def _run(self, group: Group, inputs: Mapping[str, Any]) -> Any:
        self.set_weights(group.weights)
        return self.inner(**inputs)

    def _put_own(self, name: str, weights: Weights) -> None:
        own = self.contents.own(name, weights)
        value = self.contents.start.get(name) if own is None else own
        if value is None:
            return
        place = self._places[name]
        (put if tuple(value.shape) == shape_at(self.inner, place) else swap)(self.inner, place, value)

    def _said(self, task: Tasks | None, weights: Any) -> Tensor:
        if task is not None and weights is not None:
            raise BadParameter("Task and weights are both given.", want="one of them")
        if task is not None:
            return self._one_hot(task)
        want = "finite numbers, (tasks,) or (batch, tasks)"
        try:
            given = torch.as_tensor(weights, dtype=torch.float32).detach().cpu()
        except (TypeError, ValueError, RuntimeError):
            raise BadParameter("`weights` is not usable.", got=weights, want=want) from None
        if given.dim() not in (1, 2) or not bool(torch.isfinite(given).all()):
            raise BadParameter("`weights` is not usable.", got=weights, want=want)
        return given

    def _one_hot(self, task: Tasks) -> Tensor:
        names = [task] if isinstance(task, str) else list(task) if isinstance(task, Sequence) else [task]
        if not all(isinstance(name, str) for name in names):
            raise BadParameter("`task` is not usable.", got=task, want="a name, or one name for each input")
        places = torch.tensor([self.pack.place(name) for name in names], dtype=torch.int64)
        found = torch.nn.functional.one_hot(places, len(self.tasks)).float()
        return found[0] if isinstance(task, str) else found

    def _named(self, args: Sequence[Any], inputs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > 1:
            raise BadParameter("Inputs must be named.", got=f"{len(args)} without a name", want="input_ids=..., ...")
        return {**dict(zip([self._main], args, strict=False)), **inputs}

    @property
    def _main(self) -> str:
        return str(getattr(self.inner, "main_input_name", "input_ids"))

    def _size(self, inputs: Mapping[str, Any]) -> int:
        for name in (self._main, "inputs_embeds", "input_ids", "pixel_values"):
            if isinstance(inputs.get(name), Tensor) and len(inputs[name]):
                return len(inputs[name])
        raise BadParameter(
            "There is no input.", got=", ".join(inputs), want=f"a tensor of one or more as {self._main}="
        )

    def _apply(self, fn: Any, recurse: bool = True) -> PackModel:
        self._now = None
        super()._apply(fn, recurse)
        return self


def check_no_cache(inputs: Mapping[str, Any]) -> None:
    """Refuse a cache beside inputs of several tasks.

    Raises:
        BadParameter: there is one.
    """
    if inputs.get("past_key_values") is not None:
        raise BadParameter("A cache cannot be parted among tasks.", fix="call generate(), or one task at a time")


def is_one_task(groups: Sequence[Group]) -> bool:
    """Whether all inputs want one task and nothing else: then its weights are rebuilt, once."""
    return len(groups) == 1 and sorted(groups[0].weights)[:-1] == [0.0] * (len(groups[0].weights) - 1)


def _wanted_places(inner: nn.Module, contents: Contents) -> dict[str, Place]:
    known = places_of(inner)
    return {name: placed(inner, known, name) for name in (*contents.changed(), *contents.owned())}
