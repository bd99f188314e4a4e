"""The native form, lowered to values: what stands beside the merge (tokenizer, output, numbers)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from solera.recipe.budgets import budget_of
from solera.recipe.findings import Findings, Place
from solera.recipe.linking import Linker, names_of, result_of
from solera.recipe.native import merge_of
from solera.recipe.native_models import model_of
from solera.recipe.parts import chat_template, output_dtype, size_bytes
from solera.recipe.reading import attempt
from solera.recipe.schema import Body, BudgetForm, Document, ModelForm, OutputForm, TokenizerForm
from solera.recipe.text import Path
from solera.recipe.tokens import donor, tokens_of, vocabulary
from solera.recipe.validate import validated
from solera.recipe.values import Budget, Merge, Output, Recipe, TokenizerSpec
from solera.types import DType, ModelRef


def native_recipe(find: Findings, *, strict: bool) -> Recipe:
    """Read documents of the native form; faults and warnings go to `find`."""
    count = len(find.documents)
    bodies = [validated(Document, find, at, strays_are_faults=strict) for at in range(count)]
    names = names_of(find, bodies)
    result = result_of(find, bodies, names)
    ctx = Linker(find, bodies, names if count > 1 else {})
    ctx.lower = partial(merge_of, ctx)
    ctx.start(result)
    for number, body in enumerate(bodies):
        _check_version(find, body, number)
        if number != result:
            _check_inner(find, body, number)
    merge = merge_of(ctx, bodies[result], Place((result,)))
    return _recipe(ctx, bodies[result], merge, (result,))


def _check_version(find: Findings, body: Document, number: int) -> None:
    if body.solera not in (None, 1):
        fix = "install a newer Solera, or rewrite the recipe"
        find.fault(
            (number, "solera"), "The recipe is of an unknown version.", got=body.solera, want="solera: 1", fix=fix
        )


def _check_inner(find: Findings, body: Document, number: int) -> None:
    """A document that another uses is a merge and nothing more."""
    for key in sorted(body.model_fields_set - set(Body.model_fields) - {"solera"}):
        if getattr(body, key) is not None:
            find.fault((number, key), f"`{key}` has no effect here.", fix="move it to the document that is the result")


def _recipe(ctx: Linker, body: Document, merge: Merge, path: Path) -> Recipe:
    find = ctx.findings
    template = body.chat_template
    if template is not None:
        template = attempt(find, (*path, "chat_template"), partial(chat_template, template))
    return Recipe(
        merge,
        tokenizer=_tokenizer(ctx, body.tokenizer, (*path, "tokenizer")),
        chat_template=template,
        output=_output(ctx, body.output or OutputForm(), (*path, "output")),
        seed=body.seed or 0,
        compute=DType.F64 if body.compute == "float64" else DType.F32,
        compat_storage=body.compat == "storage",
        nonfinite=body.nonfinite or "error",
        dialect=body.dialect or "solera",
        extra=undressed(body.extra or {}),
        population=body.population,
        budget=_budget(find, body.budget, (*path, "budget")),
    )


def _budget(find: Findings, form: int | str | BudgetForm | None, path: Path) -> Budget | None:
    if form is None:
        return None
    if not isinstance(form, BudgetForm):
        return attempt(find, path, partial(budget_of, form))
    read = partial(budget_of, form.amount, floor=form.floor, floors=form.floors, sketches=form.sketches)
    return attempt(find, path, read)


def undressed(data: Any) -> Any:
    """Plain data with plain dictionaries."""
    if isinstance(data, Mapping):
        return {key: undressed(value) for key, value in data.items()}
    return [undressed(item) for item in data] if isinstance(data, list) else data


def reference(ctx: Linker, form: str | ModelForm, path: Path) -> ModelRef:
    """Lower a model where only files are wanted; a merge stands for the model that its layout comes from."""
    return donor(model_of(ctx, form, Place(path, ("elsewhere",))))


def _output(ctx: Linker, form: OutputForm, path: Path) -> Output:
    find = ctx.findings
    dtype = None if form.dtype is None else attempt(find, (*path, "dtype"), partial(output_dtype, form.dtype))
    shard = None if form.shard is None else attempt(find, (*path, "shard"), partial(size_bytes, form.shard))
    layout_from = None if form.layout_from is None else reference(ctx, form.layout_from, (*path, "layout_from"))
    return Output(dtype, shard or Output().shard_bytes, layout_from, form.layout or "base", bool(form.copy_code))


def _tokenizer(ctx: Linker, form: str | TokenizerForm | None, path: Path) -> TokenizerSpec | None:
    if form is None:
        return None
    refer = partial(reference, ctx)
    if isinstance(form, str):
        return TokenizerSpec(vocabulary(form, path, refer))
    source = vocabulary(form.source or "base", (*path, "source"), refer)
    tokens = tokens_of(ctx.findings, form.tokens or {}, (*path, "tokens"), refer)
    return TokenizerSpec(source, tokens, form.pad_to_multiple_of)
