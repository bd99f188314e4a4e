"""inspect, diff, verify and try: what opens models and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json

Model = Annotated[str, typer.Argument(help="A folder, file, Hub id, address, or model+adapter.", show_default=False)]
Merged = Annotated[Path, typer.Argument(help="A folder made by `solera merge`.", show_default=False)]
DAMAGED = 3
FEW = 12
"""Rows shown where the JSON has all."""


@guarded
def inspect(
    model: Model,
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    digests: Annotated[
        bool, typer.Option("--digests", help="Also digests of the bytes; reads the whole model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a model holds: layers, roles, dtypes, totals."""
    from solera import app

    found = app.inspect(model, digests=digests)
    if as_json:
        say_json(found)
        return
    say(_overview(found))
    if tensors or digests:
        say("\n" + "\n".join(map(_tensor, found["table"])))


def _overview(found: Mapping[str, Any]) -> str:
    from solera.plan.explain import size

    known = "" if found["known"] else " (by names and shapes)"
    facts = {
        "model": found["model"],
        "architecture": f"{found['architecture']}{known}",
        "layers": ", ".join(f"{name} {count}" for name, count in found["layers"].items()) or "none found",
        "tensors": found["tensors"],
        "parameters": f"{found['parameters']:,}",
        "size": size(found["bytes"]),
        "dtypes": ", ".join(f"{name} x {count}" for name, count in found["dtypes"].items()),
        "tied": "head and embedding share weights" if found["tied"] else "no",
        "files": ", ".join(found["files"]) or "none",
        **({"consumed": f"{len(found['consumed'])} tensors (scales, adapter factors)"} if found["consumed"] else {}),
    }
    roles = {f"  {role}": f"{row['leaves']:>5} leaves {row['parameters']:>15,}" for role, row in found["roles"].items()}
    notes = [f"note: {note}" for note in found["notes"]]
    return "\n".join([rows(facts), "roles", rows(roles), *notes])


def _tensor(row: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, row["shape"])) or "scalar"
    digest = f"  {row['digest']}" if "digest" in row else ""
    return f"{row['name']}  {row['dtype']} {shape}  {'+'.join(row['roles'])}{digest}"


@guarded
def diff(a: Model, b: Model, *, as_json: AsJson = False) -> None:
    """Show where two models differ: norms by role and layer, shapes, settings. Exit code 1 if they do."""
    from solera import app

    found = app.diff(a, b)
    say_json(found) if as_json else say(_differences(found))
    if not found["equal"]:
        raise typer.Exit(1)


def _differences(found: Mapping[str, Any]) -> str:
    if found["equal"]:
        return "\n".join(["the tensors are equal", *_settings(found["config"])])
    total = found["total"]
    lines = [f"distance {total['norm']:.6g}, relative to A {total['relative']:.3g}, in {len(found['leaves'])} leaves"]
    for title in ("by_role", "by_layer"):
        table = {f"  {name}": f"{row['relative']:.3g}" for name, row in found[title].items() if row["norm"]}
        lines += [title.replace("_", " ") + ", relative", rows(table)] if table else []
    far = {f"  {row['leaf']}": f"{row['relative']:.3g}" for row in found["leaves"][:FEW]}
    lines += ["farthest leaves, relative", rows(far)] if far else []
    lines += [f"shape of {name}: {x} and {y}" for name, (x, y) in list(found["shapes"].items())[:FEW]]
    lines += [f"only in A: {name}" for name in found["only_a"][:FEW]]
    lines += [f"only in B: {name}" for name in found["only_b"][:FEW]]
    return "\n".join([*lines, *_settings(found["config"])])


def _settings(config: Mapping[str, Any]) -> list[str]:
    return [f"config {key}: {x} and {y}" for key, (x, y) in config.items()]


@guarded
def verify(model: Merged, *, as_json: AsJson = False) -> None:
    """Compare the tensors of a merged folder with its manifest. Exit code 3 if any differs."""
    from solera.app.verify import verify as compare

    found = compare(model)
    if as_json:
        say_json(found)
    elif found["ok"]:
        say(f"{model}: {found['tensors']} tensors are as they were written")
    else:
        for kind in ("damaged", "missing", "added"):
            say("\n".join(f"{kind}: {name}" for name in found[kind])) if found[kind] else None
    if not found["ok"]:
        raise typer.Exit(DAMAGED)


@guarded
def try_(
    model: Merged,
    *,
    prompt: Annotated[str, typer.Option(help="The text to continue.", show_default=False)],
    tokens: Annotated[int, typer.Option(min=1, help="Most new tokens.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Let merge, base and models continue a prompt, side by side (extra `hf`)."""
    from solera import app
    from solera.app.trying import side_by_side

    answers = app.try_out(model, prompt, tokens=tokens)
    say_json([asdict(answer) for answer in answers]) if as_json else say(side_by_side(answers))
