"""The mergekit dialect, lowered to values: what stands beside the merge, and documents that feed others."""

from __future__ import annotations

from functools import partial
from typing import Any

from solera.recipe.findings import Findings, Place
from solera.recipe.linking import Linker, names_of, result_of
from solera.recipe.mergekit import merge_of, ref_of
from solera.recipe.mergekit_schema import Document, TokenizerForm
from solera.recipe.parts import chat_template, output_dtype
from solera.recipe.reading import attempt
from solera.recipe.text import Path
from solera.recipe.tokens import donor, tokens_of, vocabulary
from solera.recipe.validate import validated
from solera.recipe.values import Merge, Output, Recipe, TokenizerSpec
from solera.types import DType, ModelRef


def mergekit_recipe(find: Findings) -> Recipe:
    """Read documents of the mergekit dialect; faults and warnings go to `find`."""
    count = len(find.documents)
    bodies = [validated(Document, find, at, strays_are_faults=False) for at in range(count)]
    names = names_of(find, bodies)
    result = result_of(find, bodies, names)
    ctx = Linker(find, bodies, names if count > 1 else {})
    ctx.lower = partial(merge_of, ctx)
    ctx.start(result)
    for number, body in enumerate(bodies):
        if number != result:
            _check_inner(find, body, bodies[result], number)
    merge = merge_of(ctx, bodies[result], Place((result,)))
    return _recipe(ctx, bodies[result], merge, (result,))


def _recipe(ctx: Linker, body: Document, merge: Merge, path: Path) -> Recipe:
    find = ctx.findings
    template = body.chat_template
    if template is not None:
        template = attempt(find, (*path, "chat_template"), partial(chat_template, template))
    dtype, out = (_dtype(find, getattr(body, key), (*path, key)) for key in ("dtype", "out_dtype"))
    return Recipe(
        merge,
        tokenizer=_tokenizer(ctx, body, path),
        chat_template=template,
        output=Output(out or dtype, layout_from=_layout_from(ctx, body, path)),
        seed=body.seed or 0,
        compat_storage=body.compat == "storage",
        dialect="mergekit",
        extra={"mergekit_dtype": dtype and dtype.torch_name, "out_dtype": out and out.torch_name},
    )


def _dtype(find: Findings, raw: str | None, path: Path) -> DType | None:
    return None if raw is None else attempt(find, path, partial(output_dtype, raw))


def _layout_from(ctx: Linker, body: Document, path: Path) -> ModelRef | None:
    """Config, tokenizer and side files come from `base_model`; None: from the first model."""
    return None if body.base_model is None else _refer(ctx, body.base_model, (*path, "base_model"))


def _refer(ctx: Linker, form: Any, path: Path) -> ModelRef:
    return donor(ref_of(ctx, form, Place(path, ("elsewhere",))))


def _tokenizer(ctx: Linker, body: Document, path: Path) -> TokenizerSpec | None:
    find, refer = ctx.findings, partial(_refer, ctx)
    if body.tokenizer_source is not None and body.tokenizer is not None:
        find.fault(
            (*path, "tokenizer_source"), "The tokenizer is given twice.", want="`tokenizer` or `tokenizer_source`"
        )
    if body.tokenizer_source is not None:
        return TokenizerSpec(vocabulary(body.tokenizer_source, (*path, "tokenizer_source"), refer))
    form: TokenizerForm | None = body.tokenizer
    if form is None:
        return None
    source = vocabulary(form.source or "union", (*path, "tokenizer", "source"), refer)
    tokens = tokens_of(find, form.tokens or {}, (*path, "tokenizer", "tokens"), refer)
    return TokenizerSpec(source, tokens, form.pad_to_multiple_of)


def _check_inner(find: Findings, body: Document, result: Document, number: int) -> None:
    """Say what of an earlier document does not reach the result: it is never written to disk."""
    wide = (None, "float32", "torch.float32")
    if body.out_dtype not in wide or (body.out_dtype is None and body.dtype not in wide):
        find.warn((number,), "the result of this document stays in float32; it is rounded once, at the end")
    same_template = body.chat_template in (None, result.chat_template)
    if not same_template:
        find.warn((number, "chat_template"), "the chat template of an earlier document has no effect")
    given = (body.tokenizer, body.tokenizer_source)
    if given in ((None, None), (None, "base"), (result.tokenizer, result.tokenizer_source)):
        return
    key = "tokenizer" if body.tokenizer is not None else "tokenizer_source"
    find.fault(
        (number, key),
        "An earlier document cannot change the vocabulary.",
        want=f"`{key}` in the last document only",
        fix="move it there, or write this merge to disk first",
    )
