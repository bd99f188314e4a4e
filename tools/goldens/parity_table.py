"""Print how far Solera is from mergekit, method by case; `--write docs/parity.md` makes the page."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PARITY = Path(__file__).resolve().parents[2] / "tests" / "parity"
sys.path.insert(0, str(PARITY))

import compare  # noqa: E402
import inputs  # noqa: E402

Merge = Callable[[Path, Path], object]
PAGE = """# Parity with mergekit

Written by `python tools/goldens/parity_table.py --write docs/parity.md`; do not edit.

Each recipe of `tests/parity/cases` runs here and is compared with the stored result of mergekit {version}
(torch {torch}). Error = max|Δ| / max|ref| of the worst float32 tensor. Roundings = elements of half-precision
outputs that fall on the other side of a rounding. `tests/parity/README.md` lists the behaviour that is kept,
and the behaviour that is not.

"""


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in a folder, as recipes with relative models expect."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_case(case: str, out: Path, merge: Merge) -> compare.Outcome:
    """Merge one case and compare it; a failure is a fault of its row."""
    try:
        merge(compare.CASES / f"{case}.yaml", out)
        return compare.compare(case, out)
    except Exception as error:  # noqa: BLE001 - the table shows every case, failed ones too
        first = (str(error).strip().splitlines() or [""])[0]
        return compare.Outcome(case, compare.recipe(case)["merge_method"], faults=[f"{type(error).__name__}: {first}"])


def parity(merge: Merge, cases: list[str] | None = None) -> list[compare.Outcome]:
    """Run cases through `merge(recipe, out)` and return one outcome per case, sorted by method."""
    with tempfile.TemporaryDirectory() as tmp:
        models = inputs.build(Path(tmp) / "models")
        with inside(models):
            rows = [run_case(case, Path(tmp) / "out" / case, merge) for case in cases or compare.names()]
    return sorted(rows, key=lambda row: (row.method, row.case))


def rows(found: list[compare.Outcome]) -> list[dict[str, Any]]:
    """Return outcomes as plain data."""
    return [dataclasses.asdict(row) | {"allowed": compare.tolerance(row.case)} for row in found]


def shown(row: compare.Outcome) -> str:
    """Return the error as text; a dash where nothing was compared."""
    return f"{row.error:.1e}" if row.tensors else "–"


def markdown(found: list[compare.Outcome]) -> str:
    """Return the table method x case x error, and a summary per method."""
    lines = ["| method | cases | equal | largest error |", "|---|---|---|---|"]
    for method in sorted({row.method for row in found}):
        mine = [row for row in found if row.method == method]
        equal = sum(not row.faults for row in mine)
        lines.append(f"| {method} | {len(mine)} | {equal} | {shown(max(mine, key=lambda row: row.error))} |")
    lines += ["", "| method | case | error | allowed | roundings | equal |", "|---|---|---|---|---|---|"]
    for row in found:
        verdict = "yes" if not row.faults else "no: " + row.faults[0].replace("|", "\\|")[:120]
        allowed = f"{compare.tolerance(row.case):.0e}"
        lines.append(f"| {row.method} | {row.case} | {shown(row)} | {allowed} | {row.flips or ''} | {verdict} |")
    return "\n".join(lines) + "\n"


def page(found: list[compare.Outcome]) -> str:
    """Return the page for the docs."""
    head = json.loads((compare.GOLDENS / "goldens.json").read_text(encoding="utf-8"))
    return PAGE.format(version=head["mergekit"], torch=head["torch"]) + markdown(found)


def main(arguments: list[str] | None = None) -> int:
    """Run the table; exit 1 when a case differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help="only these cases")
    parser.add_argument("--json", action="store_true", help="plain data instead of markdown")
    parser.add_argument("--write", type=Path, help="write the docs page here")
    options = parser.parse_args(arguments)
    import solera

    found = parity(solera.merge, options.case)
    print(json.dumps(rows(found), indent=1) if options.json else markdown(found))
    if options.write:
        options.write.write_text(page(found), encoding="utf-8")
    return int(any(row.faults for row in found))


if __name__ == "__main__":
    sys.exit(main())
