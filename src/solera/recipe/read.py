"""Text to recipe: find the dialect, lower it, check it against the cards, report everything together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

from solera.checkpoints.remote.address import hidden_in
from solera.errors import Fault, RecipeError, RecipeFaults, nearest
from solera.recipe.check import problems
from solera.recipe.findings import Findings
from solera.recipe.problem import Problem
from solera.recipe.text import MAX_BYTES, Node, documents
from solera.recipe.values import Recipe

NATIVE_KEYS = ("solera", "method", "steps")
DIALECT_KEY = "merge_method"
_DIALECT_SIGNS = {"base_model", "out_dtype", "tokenizer_source", "dtype"}


def parse(text: str, *, source: str = "", strict: bool = True) -> Recipe:
    """Read a recipe, native or mergekit; the dialect is told by its keys.

    Args:
        text: YAML, one document or several.
        source: the file's name, for messages.
        strict: unknown keys of the native form are faults; otherwise warnings, as in the mergekit dialect.

    Raises:
        RecipeFaults: everything that is wrong, with line, what is wanted, and what to do. No model is opened.

    Example:
        >>> recipe = parse("{method: linear, models: [org/a, org/b]}")
        >>> recipe.merge.method, len(recipe.merge.models), recipe.dialect
        ('linear', 2, 'solera')
    """
    recipe, faults = _read(text, source, strict=strict)
    if faults or recipe is None:
        raise RecipeFaults(faults, source=source)
    return recipe


def load(path: str | FilePath, *, strict: bool = True) -> Recipe:
    """Read a recipe file; see `parse`.

    Raises:
        RecipeFaults: the text is wrong.
        RecipeError: the file cannot be read, is too large, or is no text.
    """
    return parse(file_text(path), source=str(path), strict=strict)


def find_faults(text: str, source: str = "", *, strict: bool = True) -> tuple[Fault, ...]:
    """Everything that is wrong with a recipe's text, in the order of the text; empty when it is sound.

    Opens no model and imports no torch.

    Example:
        >>> print(find_faults("{method: linaer, models: [org/a, org/b]}", "x.yaml")[0])
        There is no method `linaer`.
          where: x.yaml line 1
          fix:   did you mean `linear`?
    """
    return _read(text, source, strict=strict)[1]


def check_recipe(recipe: Recipe) -> tuple[Fault, ...]:
    """Everything that is wrong with a recipe built in Python; places are those of the value."""
    faults = []
    for found in problems(recipe):
        keys = ".".join(str(part) for part in (*found.at, *([found.key] if found.key else [])))
        faults.append(Fault(found.what, keys or "recipe", found.got, found.want, found.fix))
    return tuple(faults)


def file_text(path: str | FilePath) -> str:
    """The text of a recipe file.

    Raises:
        RecipeError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        with FilePath(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError("The recipe cannot be read.", where=path, got=error.strerror or error) from error
    if len(data) > MAX_BYTES:
        raise RecipeError("The recipe is too long.", where=path, want=f"at most {MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError("The recipe is not UTF-8 text.", where=path, got=f"byte {error.start}") from error


def _read(text: str, source: str, *, strict: bool) -> tuple[Recipe | None, tuple[Fault, ...]]:
    try:
        nodes = documents(text, source)
    except RecipeFaults as error:
        return None, error.faults
    recipe, find = read_nodes(nodes, source, text, strict=strict)
    return recipe, find.faults


def read_nodes(nodes: tuple[Node, ...], source: str, text: str, *, strict: bool) -> tuple[Recipe | None, Findings]:
    """Lower and check documents; the recipe is None when nothing could be made of them."""
    find = Findings(source, nodes)
    recipe = _lowered(find, strict=strict)
    if recipe is None:
        return None, find
    for problem in problems(recipe):
        _place(find, problem)
    return replace(recipe, text=hidden_in(text), source=source, warnings=tuple(find.warnings)), find


def _lowered(find: Findings, *, strict: bool) -> Recipe | None:
    if not find.documents:
        find.fault((0,), "The recipe is empty.", want="at least `method:` and `models:`")
    for number, node in enumerate(find.documents):
        if node.keys is None:
            find.fault((number,), "The document is not a mapping.", want="lines of `key: value`")
    mergekit = not find.faults and is_mergekit(find)
    if find.faults:
        return None
    if mergekit:
        from solera.recipe.mergekit_recipe import mergekit_recipe

        return mergekit_recipe(find)
    from solera.recipe.native_recipe import native_recipe

    return native_recipe(find, strict=strict)


def is_mergekit(find: Findings) -> bool:
    """Whether the documents are of the mergekit dialect; two dialects in one text are a fault."""
    keys = [set(node.keys or ()) for node in find.documents]
    dialect = [DIALECT_KEY in k for k in keys]
    native = [bool(k & set(NATIVE_KEYS)) for k in keys]
    if any(dialect) and any(native):
        number = native.index(True) if not all(native) else dialect.index(True)
        want = "`merge_method` (mergekit) or `method` (Solera) in all documents"
        find.fault((number,), "Two dialects are mixed.", got=", ".join(sorted(keys[number])), want=want)
    if not any(dialect) and not any(native):
        return any(_looks_foreign(k) for k in keys)
    return any(dialect)


def _looks_foreign(keys: set[str]) -> bool:
    """No deciding key: a misspelt `merge_method`, or keys that only the dialect has."""
    misspelt = any(nearest(key, [DIALECT_KEY, *NATIVE_KEYS]) == f"did you mean `{DIALECT_KEY}`?" for key in keys)
    return misspelt or bool(keys & _DIALECT_SIGNS)


def _place(find: Findings, problem: Problem) -> None:
    """Report a problem of the value at its place in the text, unless a refused value is its cause."""
    path = find.origin((*problem.at, *([problem.key] if problem.key else [])))
    refused = find.is_spoiled(path) or (problem.absent and find.is_spoiled_inside(path, problem.absent))
    if not refused:
        find.fault(path, problem.what, got=problem.got or None, want=problem.want, fix=problem.fix)
