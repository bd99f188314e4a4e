"""From the words of `solera moe upcycle` to what is made: models and prompts, or a mergekit-moe YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.cli.inline import RECIPE_ENDINGS
from solera.errors import BadParameter, CorruptFile, NotFound, RecipeError, UnknownName, nearest

if TYPE_CHECKING:
    from solera.app.moe_upcycling import Upcycle
    from solera.cli.inline import Words
    from solera.learn.statistics.prompts import Prompts

_KEYS = ("base_model", "experts", "gate_mode", "experts_per_token", "dtype", "architecture", "shared_experts")
_EXPERT = ("source_model", "positive_prompts", "negative_prompts", "noise_scale", "residual_scale")
_OUTPUTS = {"mixtral": "mixtral", "qwen3": "qwen3_moe"}
"""mergekit-moe's name of a mixture -> model type of what is made."""


@dataclass(frozen=True, slots=True)
class _Asked:
    base: str
    experts: tuple[str, ...]
    prompts: tuple[Prompts, ...]
    parameters: Mapping[str, Any]
    top: int
    dtype: str | None = None
    output: str | None = None


def upcycle_of(
    words: Words, base: str | None, gate: str | None, prompts: Path | None, top: int | None, dtype: str | None,
    memory: int | None, check: Callable[[Upcycle], None] = lambda _wanted: None,
) -> Upcycle:  # fmt: skip
    """What to make; where the gate takes prompts, the base is run here, after `check` let it pass.

    Raises:
        SoleraError: see `learn.statistics.prompts.router_rows`; RecipeError: a file says something that is not known.
    """
    from solera.app import Upcycle
    from solera.checkpoints.reference import parse_ref
    from solera.learn.statistics.passes import DEFAULT_MEMORY
    from solera.learn.statistics.prompts import router_rows
    from solera.learn.statistics.streaming import load_within
    from solera.methods.moe.cards import build
    from solera.recipe.text import scalar_of

    by_file = len(words.names) == 1 and words.names[0].lower().endswith(RECIPE_ENDINGS)
    if by_file and prompts is not None:
        raise RecipeError("Prompts stand in the file of the mixture.", where=words.names[0], fix="leave out --prompts")
    asked = _of_config(Path(words.names[0])) if by_file else _of_words(words.names, base, prompts)
    said = {name: scalar_of(text) for name, text in words.options.items()} | ({"gate": gate} if gate else {})
    parameters = {**asked.parameters, **said}
    method: Any = build("upcycle", parameters)
    asked = replace(asked, base=base or asked.base, top=asked.top if top is None else top, dtype=dtype or asked.dtype)
    told = tuple(asdict(one) for one in asked.prompts)
    wanted = Upcycle(asked.base, asked.experts, parameters, asked.top, None, told, asked.dtype)
    check(wanted)
    _check_output(asked)
    load = load_within(memory or DEFAULT_MEMORY)
    rows = router_rows(parse_ref(asked.base), asked.prompts, method.gate, seed=method.seed, load=load)
    return replace(wanted, rows=rows)


def _check_output(asked: _Asked) -> None:
    """Whether the mixture is the one that a file names."""
    from solera.checkpoints import open_checkpoint
    from solera.checkpoints.reference import parse_ref
    from solera.methods.moe.upcycle import family_of

    made = family_of(open_checkpoint(parse_ref(asked.base))).model_type
    if asked.output not in (None, made):
        raise RecipeError("The base becomes another mixture.", where=asked.base, got=made, want=asked.output)


def _of_words(names: Sequence[str], base: str | None, prompts: Path | None) -> _Asked:
    if not names:
        raise RecipeError("There are no models.", want="solera moe upcycle MODEL MODEL... [--base MODEL] -o OUT")
    return _Asked(base or names[0], tuple(names), _prompts(prompts, names), {}, min(2, len(names)))


def _prompts(path: Path | None, names: Sequence[str]) -> tuple[Prompts, ...]:
    """Prompts of every expert: a list in their order, or a mapping by the names of the models.

    Raises:
        CorruptFile: the file says something else. UnknownName: a name that no model has.
    """
    from solera.learn.statistics.prompts import Prompts

    if path is None:
        return tuple(Prompts(()) for _ in names)
    said = _read(path)
    if isinstance(said, Mapping):
        strange = next((name for name in said if name not in names), None)
        if strange is not None:
            raise UnknownName(f"No model is called `{strange}`.", where=path, fix=nearest(str(strange), names))
        said = [said.get(name, []) for name in names]
    if not isinstance(said, list) or len(said) != len(names):
        got = f"{len(said)} entries" if isinstance(said, list) else type(said).__name__
        raise CorruptFile("Prompts do not fit the models.", where=path, got=got, want=f"{len(names)}, one for each")
    return tuple(_of_one(one, path) for one in said)


def _of_one(said: Any, path: Path) -> Prompts:
    """Prompts of one expert: a text, a list of texts, or positive and negative ones."""
    from solera.learn.statistics.prompts import Prompts

    parts = said if isinstance(said, Mapping) else {"positive": said}
    lists = {key: [value] if isinstance(value, str) else value for key, value in parts.items()}
    texts = [text for each in lists.values() if isinstance(each, list) for text in each]
    fine = all(isinstance(each, list) for each in lists.values()) and all(isinstance(text, str) for text in texts)
    if not fine or not {*lists} <= {"positive", "negative"}:
        want = "texts, or {positive: [texts], negative: [texts]}"
        raise CorruptFile("Prompts of an expert cannot be read.", where=path, got=str(said)[:60], want=want)
    return Prompts(tuple(lists.get("positive", ())), tuple(lists.get("negative", ())))


def _of_config(path: Path) -> _Asked:
    """A mergekit-moe YAML.

    Raises:
        CorruptFile: it is none. RecipeError: it asks for something that is not done here.
    """
    said = _read(path)
    if not isinstance(said, Mapping) or not isinstance(said.get("experts"), list) or "base_model" not in said:
        want = "base_model and experts, as mergekit-moe has them"
        raise CorruptFile("The file is no mixture of experts.", where=path, want=want)
    for name in said:
        if name not in _KEYS:
            raise UnknownName(f"`{name}` is not known.", where=path, fix=nearest(str(name), _KEYS))
    if said.get("shared_experts") or said.get("architecture") not in (None, *_OUTPUTS):
        got = "shared_experts" if said.get("shared_experts") else f"architecture {said['architecture']}"
        raise RecipeError("This mixture cannot be made.", where=path, got=got, want="Mixtral or Qwen3-MoE, none shared")
    experts = [_expert(one, path) for one in said["experts"]]
    prompts = [_of_one({"positive": e.get("positive_prompts") or [], "negative": e.get("negative_prompts") or []}, path) for e in experts]  # fmt: skip # noqa: E501
    parameters = {"gate": said.get("gate_mode", "hidden"), **_common(experts, path)}
    parameters["gate"] = "hidden" if parameters["gate"] == "hidden_last" else parameters["gate"]
    top = said.get("experts_per_token", 2)
    if type(top) is not int:
        raise BadParameter("`experts_per_token` is not usable.", where=path, got=top, want="a whole number")
    base, *names = (_text(one, path) for one in (said["base_model"], *(e["source_model"] for e in experts)))
    output, dtype = _OUTPUTS.get(str(said.get("architecture"))), said.get("dtype")
    return _Asked(
        base, tuple(names), tuple(prompts), parameters, top, None if dtype is None else str(dtype), output,
    )  # fmt: skip


def _text(said: Any, path: Path) -> str:
    if not isinstance(said, str):
        raise CorruptFile("A model is named by no text.", where=path, got=str(said)[:60], want="a folder or Hub id")
    return said


def _expert(said: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(said, Mapping) or "source_model" not in said:
        raise CorruptFile("An expert has no source_model.", where=path, got=str(said)[:60])
    for name in said:
        if name not in _EXPERT:
            raise UnknownName(f"`{name}` is not known of an expert.", where=path, fix=nearest(str(name), _EXPERT))
    return said


def _common(experts: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """Noise and scale, which must be the same for all experts here."""
    found = {}
    for name, ours in (("noise_scale", "noise"), ("residual_scale", "residual_scale")):
        values = [one.get(name) for one in experts]
        if any(value != values[0] for value in values):
            raise RecipeError("Experts are changed differently.", where=path, got=name, want="one value for all")
        if (value := next(iter(values), None)) is not None:
            found[ours] = value
    return found


def _read(path: Path) -> Any:
    from solera.recipe.text import documents, plain

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound("The file cannot be read.", where=path, got=error) from None
    found = documents(text, str(path))
    if len(found) != 1:
        raise CorruptFile("One document is wanted.", where=path, got=len(found))
    return plain(found[0])
