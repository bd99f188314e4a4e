"""The mergekit dialect as a schema: structure only. Unknown keys are warnings, so that real recipes pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Tag

from solera.recipe.keyed import BY_SHAPE, Keyed

RawSettings: TypeAlias = dict[str, Any]


class RefForm(Keyed):
    """A model reference as a mapping; `model` may hold a path and a revision of its own."""

    model: Annotated[Annotated[str, Tag("text")] | Annotated[PathForm, Tag("mapping")], BY_SHAPE] | None = None
    lora: Annotated[Annotated[str, Tag("text")] | Annotated[PathForm, Tag("mapping")], BY_SHAPE] | None = None
    override_architecture: str | None = None
    path: str | None = None
    revision: str | None = None


class PathForm(Keyed):
    """A path with a revision."""

    path: str | None = None
    revision: str | None = None


RefLike: TypeAlias = Annotated[Annotated[str, Tag("text")] | Annotated[RefForm, Tag("mapping")], BY_SHAPE] | None


class InputForm(Keyed):
    """One model with its parameters."""

    model: RefLike = None
    parameters: RawSettings | None = None


class SourceForm(InputForm):
    """One model's layers in a slice; the range is half-open."""

    layer_range: list[int] | None = None


class SliceForm(Keyed):
    """A run of output layers."""

    sources: list[SourceForm | None] | None = None
    base_model: RefLike = None
    residual_weight: Any = None
    parameters: RawSettings | None = None


class ModuleForm(Keyed):
    """A part of a model of several parts."""

    models: list[InputForm | None] | None = None
    slices: list[SliceForm | None] | None = None
    parameters: RawSettings | None = None


class TokenSourceForm(Keyed):
    """Where a token's row comes from, as a mapping."""

    kind: Literal["zero", "model_token"] | None = None
    model: RefLike = None
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

    source: RefLike = None
    tokens: dict[str, TokenForm | None] | None = None
    pad_to_multiple_of: int | None = Field(default=None, ge=1)


class Document(ModuleForm):
    """One merge. Two keys are ours: `seed`, and `compat: storage` for arithmetic in the type that `dtype` says."""

    name: str | None = None
    merge_method: str | None = None
    modules: dict[str, ModuleForm | None] | None = None
    base_model: RefLike = None
    dtype: str | None = None
    out_dtype: str | None = None
    tokenizer_source: RefLike = None
    tokenizer: TokenizerForm | None = None
    chat_template: str | None = None
    compat: Literal["storage"] | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**64)
