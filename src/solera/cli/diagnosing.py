"""diagnose: what stands between checkpoints, as tables, JSON and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson, memory_bytes, split
from solera.cli.shown import guarded, say, say_json

if TYPE_CHECKING:
    from solera.evaluate.contract import Task
    from solera.testbeds.contract import Built
    from solera.types import Event

WEIGHTS = ("conflict", "kinship", "spectra", "overlap", "subspace")
SCORES = ("path", "plane", "sweep")
RECORD = "diagnosis.json"
WIDE = 120
"""Columns of tables that no terminal limits."""

Models = Annotated[
    list[str] | None,
    typer.Argument(help="Folders, files, Hub ids; with --testbed also its experts.", show_default=False),
]
Base = Annotated[str | None, typer.Option(help="What the models were fine-tuned from.", show_default=False)]
Only = Annotated[
    str | None,
    typer.Option(help=f"Sections, with commas: {', '.join((*WEIGHTS, *SCORES))}.", show_default=False),
]
TestbedName = Annotated[str | None, typer.Option("--testbed", help="Score with the tasks of a built testbed.")]
Skip = Annotated[
    str | None, typer.Option(help="Roles and tensors to leave out, with commas, such as head.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help=f"Folder for {RECORD} and the figures (extra `plots`).", show_default=False),
]
Memory = Annotated[
    str | None, typer.Option(help="What one tensor may take, such as 4GiB; default 2GiB.", metavar="SIZE")
]
Steps = Annotated[int | None, typer.Option(min=3, help="Points on a path, and on each side of a plane.")]


@dataclass(frozen=True, slots=True)
class _Bed:
    """An opened testbed, and its tasks of one split."""

    built: Built
    tasks: tuple[Task, ...]

    def path(self, name: str) -> Path:
        """A model by its name in the testbed, else a path."""
        known = {"base": self.built.base, **self.built.extras, **self.built.experts}
        return known.get(name, Path(name))

    def load(self, folder: Path) -> Any:
        """A module, ready for the tasks."""
        from solera import testbeds

        return testbeds.load(self.built, folder)

    def of(self, names: Sequence[str]) -> list[Task]:
        """Trained tasks of these experts; all trained tasks where none is among them."""
        held_in = [task for task in self.tasks if task.group == "held-in"]
        return [task for task in held_in if task.expert in names] or held_in


@guarded
def diagnose(
    models: Models = None,
    *,
    base: Base = None,
    only: Only = None,
    testbed: TestbedName = None,
    size: Annotated[str, typer.Option(help="Of the testbed.")] = "small",
    seed: Annotated[int, typer.Option(help="Of the testbed.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Where testbeds are kept.", show_default=False)] = None,
    split: Annotated[str, typer.Option(help="Items of the testbed: validation or test.")] = "validation",
    written: Annotated[
        bool,
        typer.Option(
            "--written", help="Score what language models write by themselves; paths then have stages of length."
        ),
    ] = False,
    skip: Skip = None,
    memory: Memory = None,
    steps: Steps = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show how task vectors stand to each other; with a testbed also barriers, planes and coefficient sweeps."""
    from solera.cli.progress import display

    sections = _sections(only, scored=testbed is not None)
    if out:
        _may_draw(out)
    bed = _open(testbed, size, seed, cache, split, written=written) if testbed else None
    names = list(models or (bed.built.experts if bed else ()))
    _require_plane(names, asked=only is not None and "plane" in sections)
    with display(silent=as_json) as listener:
        found = _weights(bed, names, base, sections, skip, memory, listener)
        if bed:
            found |= _scores(bed, names, base, sections, steps, listener)
    if out:
        _write(found, out)
    say_json(found) if as_json else _show(found)
    if out and not as_json:
        say(f"record and figures are in {out}")


def _sections(only: str | None, *, scored: bool) -> tuple[str, ...]:
    from solera.errors import BadParameter, UnknownName, nearest

    known = (*WEIGHTS, *SCORES)
    if only is None:
        return known if scored else WEIGHTS
    asked = split(only)
    for section in asked:
        if section not in known:
            raise UnknownName(f"There is no section `{section}`.", fix=nearest(section, known))
        if section in SCORES and not scored:
            raise BadParameter(f"`{section}` needs tasks to score with.", fix="add --testbed NAME")
    return asked or known


def _require_plane(names: Sequence[str], *, asked: bool) -> None:
    from solera.errors import BadParameter

    if asked and len(names) < 2:
        raise BadParameter("A plane needs more models.", got=len(names), want="three, or two and the base")


def _may_draw(out: Path) -> None:
    """Refuse before the work what would be refused after it."""
    from solera.diagnose.figures.look import require_plots

    require_plots()
    out.mkdir(parents=True, exist_ok=True)


def _open(name: str, size: str, seed: int, cache: Path | None, split: str, *, written: bool) -> _Bed:
    from solera import testbeds
    from solera.errors import BadParameter, nearest

    if split not in ("validation", "test"):
        raise BadParameter("There is no such split.", got=split, fix=nearest(split, ("validation", "test")))
    built = testbeds.open_built(name, size=size, seed=seed, cache=cache)  # type: ignore[arg-type]
    return _Bed(built, testbeds.tasks(built, split, written=written))  # type: ignore[arg-type]


def _weights(
    bed: _Bed | None,
    names: Sequence[str],
    base: str | None,
    sections: Sequence[str],
    skip: str | None,
    memory: str | None,
    listener: Callable[[Event], None],
) -> dict[str, Any]:
    from solera.diagnose import diagnose as compare
    from solera.diagnose.weights import MEMORY

    asked = tuple(section for section in sections if section in WEIGHTS)
    if not asked:
        return {}
    places: list[str | Path] = [_place(bed, name) for name in names]
    origin = _place(bed, base) if base else bed.built.base if bed else None
    left_out = split(skip or "")
    limit = memory_bytes(memory) or MEMORY
    return {"weights": compare(places, origin, only=asked, skip=left_out, memory_bytes=limit, on_event=listener)}


def _place(bed: _Bed | None, name: str) -> str | Path:
    """A name as a testbed knows it; else as it stands, for it may be a Hub id."""
    if bed is None or name not in {"base", *bed.built.experts, *bed.built.extras}:
        return name
    return bed.path(name)


def _scores(
    bed: _Bed,
    names: Sequence[str],
    base: str | None,
    sections: Sequence[str],
    steps: int | None,
    listener: Callable[[Event], None],
) -> dict[str, Any]:
    """Path between the first two models, plane through the first three, sweep over all; the base fills up."""
    from solera.diagnose import along_path, on_plane, sweep

    origin = bed.path(base) if base else bed.built.base
    chosen = [*names, "base", "base"]
    places = [origin if name == "base" else bed.path(name) for name in chosen]
    points = {"steps": steps} if steps else {}
    found: dict[str, Any] = {}
    if "path" in sections:
        ends = (places[0], places[1]) if len(names) > 1 else (origin, places[0])
        found["path"] = along_path(bed.load, ends, bed.of(names[:2]), on_event=listener, **points)
    if "plane" in sections and len(names) > 1:
        corners = (places[0], places[1], places[2])
        found["plane"] = on_plane(bed.load, corners, bed.of(names[:3]), on_event=listener, **points)
    if "sweep" in sections:
        experts = {name: bed.path(name) for name in names if name != "base"}
        found["sweep"] = sweep(bed.load, origin, experts, bed.of(names), on_event=listener)
    return found


def _write(found: dict[str, Any], out: Path) -> None:
    from solera.diagnose import draw

    (out / RECORD).write_text(json.dumps(found, indent=1), encoding="utf-8")
    draw(found, out)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    from solera.diagnose.tables import tables

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for table in tables(found):
        console.print(table)
    weights = found.get("weights", {})
    if left_out := weights.get("left_out"):
        console.print(f"not compared: {len(left_out)} tensors (the JSON says why)", highlight=False)
    if too_large := weights.get("too_large"):
        console.print(f"no spectra of {', '.join(too_large)}: raise --memory", highlight=False)
