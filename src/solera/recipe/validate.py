"""Check the structure of a document against a schema; what is wrong is reported, taken out, and the rest is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from solera.errors import nearest
from solera.recipe.findings import Findings
from solera.recipe.keyed import Strays
from solera.recipe.text import Path, plain

M = TypeVar("M", bound=BaseModel)

_WANTS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def validated(schema: type[M], findings: Findings, at: int, *, strays_are_faults: bool) -> M:
    """Read document number `at` by `schema`.

    Refused values are reported, marked as spoiled and read as absent, so that everything else can be checked too.
    """
    data = plain(findings.documents[at], (at,))
    strays: Strays = []
    refused = _errors(schema, data, strays)
    _report_strays(findings, strays, as_faults=strays_are_faults)
    for error in refused:
        _report(findings, findings.real((at, *error["loc"])), error)
    while refused:
        for error in refused:
            _blank(data, findings.real((at, *error["loc"]))[1:])
        refused = _errors(schema, data, [])
    return schema.model_validate(data)


def _errors(schema: type[BaseModel], data: Any, strays: Strays) -> list[Any]:
    try:
        schema.model_validate(data, context=strays)
    except ValidationError as error:
        return list(error.errors(include_url=False))
    return []


def _report(findings: Findings, path: Path, error: Mapping[str, Any]) -> None:
    value, context = error["input"], error.get("ctx") or {}
    want = _WANTS.get(error["type"], error["msg"].removeprefix("Input should be "))
    fix = ""
    if error["type"] == "union_tag_invalid":
        want = (
            context["expected_tags"].replace("'", "").replace(", ", " or a ").replace("mapping", "mapping (key: value)")
        )
    if error["type"] == "string_type" and not isinstance(value, dict | list):
        fix = "put it in quotes"
    if error["type"] == "literal_error" and isinstance(value, str):
        fix = nearest(value, context["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    key = next((part for part in reversed(path[1:]) if isinstance(part, str)), "recipe")
    findings.fault(path, f"`{key}` is not usable.", got=value if value is not None else "nothing", want=want, fix=fix)
    findings.spoil(path)


def _blank(data: Any, path: Sequence[str | int]) -> None:
    """Put None in the place of a refused value, or of what holds it where None was refused too."""
    chain = [data]
    for part in path[:-1]:
        if chain[-1][part] is None:
            break
        chain.append(chain[-1][part])
    depth = len(chain) - 1
    if chain[depth][path[depth]] is None and depth:
        depth -= 1
    chain[depth][path[depth]] = None


def _report_strays(findings: Findings, strays: Strays, *, as_faults: bool) -> None:
    for path, key, known in dict.fromkeys(strays):
        hint = nearest(key, known)
        if as_faults:
            findings.fault(path, f"`{key}` is not a key here.", fix=hint)
        else:
            findings.warn(path, f"the key `{key}` is ignored; {hint}")
