"""Mixtures without rebuilding: every row of a batch runs with its own weights in one forward pass.

A change kept in factors is two thin products beside a layer: W x + sum_t w_t left_t (right_t x). Layers that are known
get it as a hook; any other module that holds changed parameters runs row by row, with its own parameters mixed. That a
model gives what rebuilt ones give is tried on examples when the pack is made (`proven`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from solera.errors import CheckpointError, ShapeMismatch
from solera.inference.routed.contents import Added, Contents
from solera.inference.routed.grouping import groups_of
from solera.inference.routed.places import Place

Sum = Callable[[Tensor, Tensor], Tensor]
"""(input of a layer, weights of its rows (rows, tasks)) -> what is added to its output."""


@dataclass(eq=False)
class Mixing:
    """The hooks of one module, asleep until `rows` says which weights the rows of a batch have."""

    module: nn.Module
    weights: Tensor | None = None
    handles: list[Any] = field(default_factory=list)
    wrapped: list[nn.Module] = field(default_factory=list)

    @contextmanager
    def rows(self, weights: Tensor) -> Iterator[None]:
        """Let the rows of all batches inside have these weights, (batch, tasks)."""
        before, self.weights = self.weights, weights
        try:
            yield
        finally:
            self.weights = before

    def of(self, rows: int) -> Tensor:
        """Weights for that many rows: inputs may have several, side by side (beams), or all share one (positions).

        Raises:
            ShapeMismatch: rows are no multiple of the inputs.
        """
        assert self.weights is not None
        if rows == 1:
            return self.weights
        each, rest = divmod(rows, len(self.weights))
        if rest or not each:
            raise ShapeMismatch("The rows of a layer are not those of the batch.", got=rows, want=len(self.weights))
        return self.weights.repeat_interleave(each, 0)

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()
        for module in self.wrapped:
            del module.forward
        self.handles, self.wrapped = [], []


def mixing(inner: nn.Module, contents: Contents, places: Mapping[str, Place]) -> Mixing | None:
    """Hook a module; None where a change is no whole parameter, or tasks have tensors of their own.

    The module must hold the start's weights while mixtures run.
    """
    changed = contents.changed()
    parameters = dict(inner.named_parameters(remove_duplicate=False))
    if contents.owned() or any(not p.whole or p.parameter not in parameters for p in map(places.__getitem__, changed)):
        return None
    made, by_module = Mixing(inner), _by_module(inner, changed, places)
    for module, names in by_module.items():
        add = _known(module, names, contents)
        if add is not None:
            made.handles.append(module.register_forward_hook(_hook(made, add)))
        else:
            _wrap(made, module, names, contents)
    return made


def _by_module(
    inner: nn.Module, changed: Sequence[str], places: Mapping[str, Place]
) -> dict[nn.Module, dict[str, str]]:
    """Module -> its changed parameters: own name -> the pack's. Tied parameters are of several modules."""
    known = {id(inner.get_parameter(places[name].parameter)): name for name in changed}
    found: dict[nn.Module, dict[str, str]] = {}
    for module in inner.modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            if id(parameter) in known:
                found.setdefault(module, {})[leaf] = known[id(parameter)]
    return found


def _hook(made: Mixing, add: Sum) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
    def hook(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor | None:
        del module
        if made.weights is None:
            return None
        return output + add(given[0], made.of(len(given[0]))).to(output.dtype)

    return hook


def _known(module: nn.Module, names: Mapping[str, str], contents: Contents) -> Sum | None:
    """What is added behind a layer of a known kind; None for any other."""
    kinds = {"weight": _behind(module), "bias": _bias if _behind(module) is not None else None}
    parts: list[Sum] = []
    for leaf, name in names.items():
        kind = kinds.get(leaf)
        if kind is None:
            return None
        parts += [_one(kind, module, contents, name, k) for k, task in enumerate(contents.tasks) if task.changes(name)]

    def add(x: Tensor, rows: Tensor) -> Tensor:
        return sum((part(x, rows) for part in parts[1:]), parts[0](x, rows))

    return add


Behind = Callable[[Any, Tensor, Added, str], Tensor]
"""(module, its input, what a task adds, name of the tensor) -> what the change adds to the output, at weight 1."""


def _one(kind: Behind, module: nn.Module, contents: Contents, name: str, task: int) -> Sum:
    def add(x: Tensor, rows: Tensor) -> Tensor:
        out = kind(module, x, contents.tasks[task], name)
        return out * rows[:, task].reshape(-1, *[1] * (out.dim() - 1)).to(out.dtype)

    return add


def _behind(module: nn.Module) -> Behind | None:
    """How a layer's output depends on its weight."""
    forward, kind = type(module).forward, type(module).__name__
    if forward is nn.Linear.forward:
        return _matrix
    if kind == "Conv1D":
        return _turned
    if forward is nn.Embedding.forward:
        return _table
    affine = "Norm" in kind and "Batch" not in kind and "Group" not in kind
    return _slope if affine and set(dict(module.named_parameters(recurse=False))) <= {"weight", "bias"} else None


def _matrix(module: Any, x: Tensor, task: Added, name: str) -> Tensor:  # noqa: ARG001
    if name in task.delta:
        return linear(x, task.delta[name].to(x.dtype))
    return linear(linear(x, task.right[name].to(x.dtype)), task.left[name].to(x.dtype))


def _turned(module: Any, x: Tensor, task: Added, name: str) -> Tensor:  # noqa: ARG001
    if name in task.delta:
        return x @ task.delta[name].to(x.dtype)
    return (x @ task.left[name].to(x.dtype)) @ task.right[name].to(x.dtype)


def _table(module: Any, ids: Tensor, task: Added, name: str) -> Tensor:  # noqa: ARG001
    if ids.dim() < 2:
        raise ShapeMismatch("Ids do not count inputs along their first axis.", got=list(ids.shape))
    return task.delta[name][ids] if name in task.delta else task.left[name][ids] @ task.right[name]


def _bias(module: Any, x: Tensor, task: Added, name: str) -> Tensor:  # noqa: ARG001
    value = task.delta[name]
    return value.expand(len(x), *[1] * (x.dim() - 2), -1)


def _slope(module: nn.Module, x: Tensor, task: Added, name: str) -> Tensor:
    """A norm's output is an affine function of its weight: its slope is its value at 1 less that at 0."""

    def at(value: float) -> Tensor:
        twin = copy.copy(module)
        own = dict(module.named_parameters(recurse=False))
        fixed: dict[str, Any] = {n: torch.full_like(p, value if n == "weight" else 0.0) for n, p in own.items()}
        twin._parameters = fixed  # noqa: SLF001 - the twin is called without hooks, and the module is left as it is
        found: Tensor = twin.forward(x)
        return found

    return (at(1.0) - at(0.0)) * task.delta[name].to(x.dtype)


def _wrap(made: Mixing, module: nn.Module, names: Mapping[str, str], contents: Contents) -> None:
    """Let a module run once for each different weights of its rows, with its own parameters mixed."""
    plain = module.forward

    def forward(*args: Any, **options: Any) -> Any:
        if made.weights is None:
            return plain(*args, **options)
        first = next(value for value in (*args, *options.values()) if isinstance(value, Tensor))
        size, weights = len(first), made.of(len(first))
        if len(weights) != size:
            raise ShapeMismatch("A layer's input is shared by the batch.", got=size, want=len(weights))
        groups, outputs = groups_of(weights), []
        for group in groups:
            rows = torch.tensor(group.rows, device=first.device)
            values = {leaf: contents.merged(name, group.weights) for leaf, name in names.items()}
            with _swapped(module, values), made.rows(weights[rows]):
                outputs.append(plain(*_rows(args, size, rows), **_rows(options, size, rows)))
        order = torch.tensor([row for group in groups for row in group.rows], device=first.device)
        return _restored(outputs, order.argsort())

    module.forward = forward  # type: ignore[method-assign]
    made.wrapped.append(module)


@contextmanager
def _swapped(module: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a module have other parameters for one call."""
    kept = dict(module._parameters)  # noqa: SLF001 - plain tensors stand in for parameters
    try:
        for leaf, value in values.items():
            module._parameters[leaf] = value.to(kept[leaf])  # type: ignore[assignment,arg-type]  # noqa: SLF001
        yield
    finally:
        module._parameters.update(kept)  # noqa: SLF001


def _rows(given: Any, size: int, rows: Tensor) -> Any:
    if isinstance(given, Tensor):
        return given[rows] if given.dim() and len(given) == size else given
    if isinstance(given, dict):
        return {name: _rows(value, size, rows) for name, value in given.items()}
    return tuple(_rows(value, size, rows) for value in given) if isinstance(given, tuple) else given


def _restored(outputs: Sequence[Any], order: Tensor) -> Any:
    if isinstance(outputs[0], Tensor):
        return torch.cat(list(outputs))[order]
    if isinstance(outputs[0], tuple):
        return tuple(_restored(parts, order) for parts in zip(*outputs, strict=True))
    return outputs[0]


TOLERANCE = 1e-4
"""How far outputs of mixtures may lie from those of rebuilt models, as a share of the largest."""


def proven(model: Any, inputs: Mapping[str, Any]) -> bool:
    """Whether a pack gives with mixtures what it gives with rebuilt weights, on some inputs with drawn weights.

    `model` is a `PackModel` in float32; `inputs` are a few, of any tasks.
    """
    size = len(next(iter(inputs.values())))
    draw = torch.rand(size, len(model.tasks), generator=torch.Generator().manual_seed(0))
    weights = draw / draw.sum(1, keepdim=True)
    with torch.no_grad():
        try:
            mixed = model.mixed(weights, lambda: model.inner(**inputs)).logits
        except (CheckpointError, RuntimeError, AttributeError, TypeError, IndexError):
            return False
        rebuilt = model(**inputs, weights=weights).logits
    if mixed.shape != rebuilt.shape:
        return False
    return bool((mixed - rebuilt).abs().max() <= TOLERANCE * rebuilt.abs().max())
