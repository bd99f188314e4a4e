"""The native form as a schema: structure only; what methods and parameters mean is checked against their cards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from solera import registry
from solera.recipe.keyed import BY_SHAPE, Keyed, entries_shape

_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 1}
_VALUE = {"anyOf": [{"type": ["number", "boolean", "string"]}, _NUMBERS]}
_CASE = {"type": "object", "properties": {"filter": {"type": "string"}, "value": _VALUE}, "required": ["value"]}
_EACH = {"type": "object", "properties": {"each": {"type": "array", "items": _VALUE}}, "required": ["each"]}
SETTING_SCHEMA = {"anyOf": [_VALUE, _CASE, {"type": "array", "items": _CASE, "minItems": 1}, _EACH]}
"""JSON schema of a parameter's value."""

RawSetting = Annotated[Any, WithJsonSchema(SETTING_SCHEMA)]
RawSettings: TypeAlias = dict[str, RawSetting]


class LoraForm(Keyed):
    """An adapter in full."""

    path: str | None = None
    revision: str | None = None
    weight: float | None = None


LoraLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[LoraForm, Tag("mapping")], BY_SHAPE] | None


class ModelForm(Keyed):
    """A model in full: one of `model` (short form), `path` (taken as it is) or `merge`."""

    model: str | None = Field(default=None, description="path[@revision][+lora[@revision]]")
    path: str | None = Field(default=None, description="a folder, file or Hub id, taken as it is")
    merge: Body | None = Field(default=None, description="a merge of its own in the place of a model")
    revision: str | None = None
    lora: LoraLike = None
    loras: list[LoraLike] | None = None
    subfolder: str | None = None


NameLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[list[str], Tag("list")], BY_SHAPE] | None


class MapForm(Keyed):
    """Which tensors of a model of another architecture stand for which of the target."""

    names: dict[str, NameLike] | None = Field(
        default=None, description="source name -> target name or names; {n} is a layer's number, * anything"
    )
    layers: (
        Annotated[Annotated[Literal["same", "nearest"], Tag("text")] | Annotated[list[int], Tag("list")], BY_SHAPE]
        | None
    ) = Field(default=None, description="same, nearest, or the source layer of every target layer")


StatisticsLike: TypeAlias = Annotated[
    Annotated[Annotated[str, Tag("text")] | Annotated[dict[str, str | None], Tag("mapping")], BY_SHAPE] | None,
    Field(description="what was measured: the folder that `solera learn statistics` wrote, or {kind: file or folder}"),
]


class EntryForm(ModelForm):
    """A model with its label and parameters; parameters may stand beside the keys."""

    model_config = ConfigDict(extra="allow")
    open_keys: ClassVar[bool] = True
    __pydantic_extra__: dict[str, RawSetting] = Field(init=False)

    label: str | None = None
    parameters: RawSettings | None = None
    map: MapForm | None = None
    statistics: StatisticsLike = None


class SourceForm(EntryForm):
    """A model's layers in a slice."""

    layers: RawLayers = None
    layer_range: list[int] | None = Field(default=None, description="[first, end): half-open, as in mergekit")


RawLayers: TypeAlias = Annotated[
    Annotated[
        Annotated[str | int, Tag("text")] | Annotated[list[int], Tag("list")],
        BY_SHAPE,
    ]
    | None,
    Field(description='"0-11", one number, or [first, last]; both ends belong to it'),
]
ModelLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[ModelForm, Tag("mapping")], BY_SHAPE] | None
EntryLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[EntryForm, Tag("mapping")], BY_SHAPE] | None
SourceLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[SourceForm, Tag("mapping")], BY_SHAPE] | None


class FolderForm(Keyed):
    """The checkpoints of one run, in the order of their steps."""

    folder: str | None = Field(default=None, description="the folder that holds them")
    pattern: str | None = Field(default=None, description='a glob over names in the folder; default "checkpoint-*"')
    last: int | None = Field(default=None, ge=1, description="only the last so many")
    every: int | None = Field(default=None, ge=1, description="every so many, counted back from the last")


EntriesLike: TypeAlias = (
    Annotated[
        Annotated[list[EntryLike], Tag("list")]
        | Annotated[FolderForm, Tag("checkpoints")]
        | Annotated[dict[str, EntryLike], Tag("mapping")],
        Discriminator(entries_shape),
    ]
    | None
)
TextList: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[list[str], Tag("list")], BY_SHAPE] | None


class SliceForm(Keyed):
    """A run of output layers."""

    sources: list[SourceLike] | None = None
    base: SourceLike = None
    parameters: RawSettings | None = None


class MatchForm(Keyed):
    """Which tensors a rule speaks of; all given conditions must hold."""

    role: TextList = None
    layers: RawLayers = None
    name: str | None = Field(default=None, description="a glob over tensor names")
    module: str | None = None


RuleModels: TypeAlias = Annotated[
    Annotated[
        Annotated[list[RawSettings | None], Tag("list")] | Annotated[dict[str, RawSettings], Tag("mapping")],
        BY_SHAPE,
    ]
    | None,
    Field(description="parameters per model: a list in the order of the models, or by position or label"),
]


StepLike: TypeAlias = (
    Annotated[Annotated[str, Tag("text")] | Annotated[dict[str, RawSettings | None], Tag("mapping")], BY_SHAPE] | None
)
Steps: TypeAlias = Annotated[
    list[StepLike] | None,
    Field(description="a chain of registered steps: names, or {name: {parameter: value}}; `solera methods --steps`"),
]
Wraps: TypeAlias = Annotated[
    list[StepLike] | None, Field(description="wrappers around the method, the first of them innermost")
]


class RuleForm(Keyed):
    """Overrides for the tensors that match; later rules win."""

    match: MatchForm | None = None
    method: str | None = None
    steps: Steps = None
    wrap: Wraps = None
    parameters: RawSettings | None = None
    models: RuleModels = None


class Body(Keyed):
    """One merge: a method over models, slices or modules."""

    name: str | None = None
    base: ModelLike = None
    models: EntriesLike = None
    method: str | None = None
    steps: Steps = None
    wrap: Wraps = None
    variant: str | None = None
    parameters: RawSettings | None = None
    rules: list[RuleForm | None] | None = None
    slices: list[SliceForm | None] | None = None
    modules: dict[str, Body | None] | None = None
    statistics: StatisticsLike = None


class TokenSourceForm(Keyed):
    """Where a token's row comes from: a model (as ModelForm), zeros, or a token's row of a model."""

    kind: Literal["zero", "model_token"] | None = None
    model: ModelLike = None
    token: str | None = None
    token_id: int | None = Field(default=None, ge=0)
    path: str | None = None
    revision: str | None = None
    subfolder: str | None = None


class TokenForm(Keyed):
    """One token."""

    source: Annotated[Annotated[str, Tag("text")] | Annotated[TokenSourceForm, Tag("mapping")], BY_SHAPE] | None = None
    force: bool | None = None


class TokenizerForm(Keyed):
    """The output vocabulary."""

    source: ModelLike = Field(default=None, description='"union", "base", or a model')
    tokens: dict[str, TokenForm | None] | None = None
    pad_to_multiple_of: int | None = Field(default=None, ge=1)


class OutputForm(Keyed):
    """How the result is written."""

    dtype: str | None = Field(
        default=None, description="float32, bfloat16, float16 or float64; default: the base's own types"
    )
    shard: Annotated[int | str, Field(description='largest file, such as "5GB"')] | None = None
    layout: Literal["base", "leaves"] | None = None
    layout_from: ModelLike = None
    copy_code: bool | None = None


class BudgetForm(Keyed):
    """How much of the models other than the base may be read, and of what at least."""

    amount: Annotated[int | str, Field(description='bytes such as "20GiB", a share such as "10%", or "inf"')] = "inf"
    floor: str | None = Field(default=None, description='least share of every layer, such as "5%"')
    floors: dict[str, str] | None = Field(default=None, description='least shares by layers: {"0-3": "20%"}')
    sketches: Annotated[Annotated[str, Tag("text")] | Annotated[list[str], Tag("list")], BY_SHAPE] | None = None


class Document(Body):
    """A recipe."""

    solera: int | None = Field(default=None, description="version of the form: 1")
    tokenizer: Annotated[Annotated[str, Tag("text")] | Annotated[TokenizerForm, Tag("mapping")], BY_SHAPE] | None = None
    chat_template: str | None = None
    output: OutputForm | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**64)
    compute: Literal["float32", "float64"] | None = None
    compat: Literal["storage"] | None = None
    nonfinite: Literal["error", "keep"] | None = None
    population: Literal["node", "tensor"] | None = None
    budget: Annotated[Annotated[int | str, Tag("text")] | Annotated[BudgetForm, Tag("mapping")], BY_SHAPE] | None = (
        Field(default=None, description="how much of the models other than the base may be read")
    )
    dialect: Literal["solera", "mergekit"] | None = None
    extra: dict[str, Any] | None = None


def json_schema() -> dict[str, Any]:
    """The JSON schema of the native form, with the methods known here; editors complete and check with it.

    Example:
        >>> sorted(json_schema()["properties"])[:3]
        ['base', 'budget', 'chat_template']
    """
    schema = Document.model_json_schema()
    for body in (schema, schema["$defs"]["Body"]):
        body["properties"]["method"]["description"] = "known: " + ", ".join(registry.cards())
        for key, wraps in (("steps", False), ("wrap", True)):
            names = [card.name for card in registry.step_cards().values() if (card.role == "wraps") == wraps]
            body["properties"][key]["description"] += ". Known: " + ", ".join(names)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Solera recipe"}
