"""From the words of `solera moe upcycle` to what is made: models and prompts, or a mergekit-moe YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_OUTPUTS = (None, "mixtral", "qwen3")


@dataclass(frozen=True, slots=True)
class _Asked:
    base: str
    experts: tuple[str, ...]
    prompts: tuple[Prompts, ...]
    parameters: Mapping[str, Any]
    top: int
    dtype: str | None = None


def upcycle_of(
    words: Words, base: str | None, gate: str | None, prompts: Path | None, top: int | None, dtype: str | None,
    memory: int | None,
) -> Upcycle:  # fmt: skip
    """What to make; where the gate takes prompts, the base is run here.

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
    asked = _of_config(Path(words.names[0])) if by_file else _of_words(words.names, base, prompts)
    said = {name: scalar_of(text) for name, text in words.options.items()} | ({"gate": gate} if gate else {})
    parameters = {**asked.parameters, **said}
    method: Any = build("upcycle", parameters)
    asked = replace(asked, base=base or asked.base, top=top or asked.top, dtype=dtype or asked.dtype)
    _check(asked)
    load = load_within(memory or DEFAULT_MEMORY)
    rows = router_rows(parse_ref(asked.base), asked.prompts, method.gate, seed=method.seed, load=load)
    told = tuple(asdict(one) for one in asked.prompts)
    return Upcycle(asked.base, asked.experts, parameters, asked.top, rows, told, asked.dtype)


def _check(asked: _Asked) -> None:
    """Whether base and experts are of one family, before the base is run."""
    from solera.checkpoints import open_checkpoint
    from solera.checkpoints.reference import parse_ref
    from solera.methods.moe.upcycle import family_of

    family_of(open_checkpoint(parse_ref(asked.base)))
    if not 1 <= asked.top <= len(asked.experts):
        raise BadParameter("`top_k` is not usable.", got=asked.top, want=f"a whole number in [1, {len(asked.experts)}]")


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
    if said.get("shared_experts") or said.get("architecture") not in _OUTPUTS:
        got = "shared_experts" if said.get("shared_experts") else f"architecture {said['architecture']}"
        raise RecipeError("This mixture cannot be made.", where=path, got=got, want="Mixtral or Qwen3-MoE, none shared")
    experts = [_expert(one, path) for one in said["experts"]]
    prompts = [_of_one({"positive": e.get("positive_prompts", []), "negative": e.get("negative_prompts") or []}, path) for e in experts]  # fmt: skip # noqa: E501
    parameters = {"gate": said.get("gate_mode", "hidden"), **_common(experts, path)}
    parameters["gate"] = "hidden" if parameters["gate"] == "hidden_last" else parameters["gate"]
    names = tuple(str(one["source_model"]) for one in experts)
    return _Asked(
        str(said["base_model"]), names, tuple(prompts), parameters, int(said.get("experts_per_token", 2)),
        said.get("dtype"),
    )  # fmt: skip


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
        values = {one.get(name) for one in experts}
        if len(values) > 1:
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
