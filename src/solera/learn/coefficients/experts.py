"""The experts: what they say of their own task's examples, and their own heads. One is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from solera.errors import PlanError
from solera.learn.coefficients.contract import Answer
from solera.learn.coefficients.feeding import Pool
from solera.learn.coefficients.live import Weights, ask
from solera.learn.statistics.loading import load_model
from solera.learn.statistics.sites import anatomy_of
from solera.recipe.values import Operand
from solera.types import ModelRef

Load = Callable[[ModelRef], nn.Module]
LOGITS = "logits"


@dataclass(eq=False)
class Experts:
    """Answers by task and example, on disk, and heads by expert.

    `folder`: where answers are kept, one file for each example; a run that goes on finds them there.
    """

    folder: Path | None = None
    heads: Mapping[int, Weights] = field(default_factory=dict)

    def answer(self, pool: Pool, chosen: Sequence[int]) -> Answer:
        """What the task's expert says of some examples: padded like the batch, padding being of no account."""
        found = [self._read(pool, i) for i in chosen]
        names = found[0].keys()
        stacked = {name: _padded([one[name] for one in found]) for name in names}
        hidden = tuple(stacked[name] for name in sorted(names - {LOGITS}))
        return Answer(stacked[LOGITS], hidden=hidden)

    def _read(self, pool: Pool, number: int) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        assert self.folder is not None
        found: dict[str, Tensor] = load_file(_file(self.folder, pool, number))
        return found


def _file(folder: Path, pool: Pool, number: int) -> Path:
    """The file of one example: by its own bytes, so that the order of examples does not matter."""
    from solera.learn.statistics.contract import extent_of

    digest = extent_of([pool.rows[number]]).digest[:24]
    return folder / f"{pool.expert}-{digest}.safetensors"


def answered(
    folder: Path, pools: Sequence[Pool], operands: Sequence[Operand], *, hidden: bool, load: Load = load_model
) -> Experts:
    """Ask every expert about its own task's examples; what is there already is not asked again.

    Cost: a forward pass per example; disk for logits and hidden states in float32.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for expert in dict.fromkeys(pool.expert for pool in pools):
        rows = [(p, i) for p in pools if p.expert == expert for i in range(len(p.rows))]
        left = [(p, i) for p, i in rows if not _file(folder, p, i).exists()]
        if not left:
            continue
        module = load(reference(operands[expert])).eval()
        for pool, i in left:
            with torch.no_grad():
                answer = ask(module, pool.rows[i], hidden=hidden)
            states = {f"hidden.{k:04}": value.float().contiguous() for k, value in enumerate(answer.hidden)}
            place = _file(folder, pool, i)
            save_file({LOGITS: answer.logits.float().contiguous(), **states}, place.with_suffix(".partial"))
            place.with_suffix(".partial").replace(place)
    return Experts(folder)


def reference(operand: Operand) -> ModelRef:
    """The model that an operand names.

    Raises:
        PlanError: it is a merge of its own.
    """
    if isinstance(operand.model, ModelRef):
        return operand.model
    fix = "merge it first, and name the result"
    raise PlanError("A merge inside the merge cannot be asked about data.", got=operand.model.title, fix=fix)


def own_heads(
    model: nn.Module, pools: Sequence[Pool], operands: Sequence[Operand], *, load: Load = load_model
) -> dict[int, Weights]:
    """Every expert's own head, by live name: what lies outside the model's body.

    Raises:
        PlanError: the model is a body without a head, or an expert lacks the head.
    """
    names = head_names(model)
    found: dict[int, Weights] = {}
    for expert in dict.fromkeys(pool.expert for pool in pools):
        state = load(reference(operands[expert])).state_dict()
        if missing := [name for name in names if name not in state]:
            got = ", ".join(missing[:3])
            raise PlanError("An expert has no head of its own.", where=str(operands[expert].model), got=f"no {got}")
        found[expert] = {name: state[name].clone() for name in names}
    return found


def head_names(model: nn.Module) -> list[str]:
    """What lies outside the body of a model of transformers.

    Raises:
        PlanError: nothing does.
    """
    prefix = str(getattr(model, "base_model_prefix", ""))
    inside = prefix and hasattr(model, prefix)
    names = [name for name in model.state_dict() if inside and not name.startswith(f"{prefix}.")]
    if not names:
        want = "experts with a classifier, or --heads merged"
        raise PlanError("The frozen heads are missing.", got=type(model).__name__, want=want)
    return names


def head_leaves(model: nn.Module) -> list[str]:
    """The head's leaves, by the names that recipes know.

    Raises:
        PlanError: the model is a body without a head.
    """
    leaves = anatomy_of(model).leaves
    return [leaf.name for name in head_names(model) for leaf in leaves.get(name, ())]


def with_heads(weights: Weights, heads: Weights) -> Weights:
    """The merged weights with a task's own head in the place of theirs."""
    return {**weights, **heads} if heads else weights


def _padded(values: Sequence[Tensor]) -> Tensor:
    """(1, tokens, channels) each, or of one shape, as one tensor; 0 where an example is shorter."""
    if len({value.shape for value in values}) == 1:
        return torch.cat(list(values))
    longest = max(value.shape[1] for value in values)
    out = values[0].new_zeros((len(values), longest, *values[0].shape[2:]))
    for i, value in enumerate(values):
        out[i, : value.shape[1]] = value[0]
    return out
