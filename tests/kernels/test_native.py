"""Loops as object code: kept once, run without numba, made again where a file is of no use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from solera.ops.kernels import Leaf, fused, native
from solera.ops.kernels.engine import compiled
from solera.ops.kernels.native import Linked, Loops, kind
from solera.types import DType

pytestmark = pytest.mark.skipif(compiled() is None, reason="needs numba")

MERGE = """
import sys
import numpy as np
from solera.ops.kernels import Leaf, fused
from solera.types import DType
kernel = fused("linear", {}, 2, delta=False)
out = np.zeros(3, np.float32)
kernel.write(None, [np.ones(3, np.float32), np.full(3, 3, np.float32)], [DType.F32] * 2, (), out, DType.F32, 0, Leaf((3,)))
assert out.tolist() == [2, 2, 2]
print("numba" in sys.modules)
"""


def called(loops: Loops) -> list[int]:
    """The elected signs of two models of three numbers."""
    models = [np.array([1, -2, 3], np.float32), np.array([1, -3, -4], np.float32)]
    reading = (
        np.array([m.ctypes.data for m in models], np.int64),
        np.zeros(2, np.int64),
        np.full(2, 4, np.int64),
        np.full((2, 5), 0x7F800000, np.int32),
        np.zeros(2, np.float32),
        False,
    )
    none = np.zeros((0, 2), np.uint64)
    program = (
        np.zeros(0, np.int64),
        *(np.zeros((0, 2), np.float32) for _ in range(2)),
        none,
        none,
        np.zeros((0, 3, 2)),
        0,
    )
    found = np.zeros(2, np.int64)
    by_count = True
    assert loops("ballot", 3, 0, reading, program, by_count, found) == 1
    return found.tolist()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loops")
    assert called(Loops(folder)) == [1, 1]
    (path,) = folder.glob("ballot-*.loop")
    return path


def test_a_process_that_finds_its_loops_does_not_import_numba() -> None:
    models = [np.ones(3, np.float32)] * 2
    kernel = fused("linear", {}, 2, delta=False)
    assert kernel is not None
    kernel.write(None, models, [DType.F32] * 2, (), np.zeros(3, np.float32), DType.F32, 0, Leaf((3,)))
    done = subprocess.run([sys.executable, "-c", MERGE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_kept_is_run(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "file", lambda *_: pytest.fail("made again"))
    loops = Loops(kept.parent)
    assert called(loops) == [1, 1]
    assert all(isinstance(found, Linked) for found in loops.known.values())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def other(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut, other, empty])
def test_a_damaged_file_is_made_again(kept: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    mine = tmp_path / kept.name
    mine.write_bytes(kept.read_bytes())
    spoil(mine)
    spoiled, loops = mine.read_bytes(), Loops(tmp_path)
    assert called(loops) == [1, 1]
    assert mine.read_bytes() != spoiled
    assert all(isinstance(found, Linked) for found in loops.known.values())


def test_where_nothing_can_be_linked_numba_calls_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = json.dumps({"symbol": "missing", "gives": "bool", "absent": [], "digest": ""}).encode()
    monkeypatch.setattr(native, "file", lambda path, code, known: path.write_bytes(head + b"\n" + code))
    loops = Loops(tmp_path)
    assert called(loops) == [1, 1]
    assert not any(isinstance(found, Linked) for found in loops.known.values())


def test_where_nothing_can_be_written_loops_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert called(Loops(tmp_path / "file" / "loops")) == [1, 1]


def test_codes_are_told_apart_by_type_order_and_leave_to_change() -> None:
    plain = np.zeros((4, 4), np.float32)
    fixed = plain.copy()
    fixed.flags.writeable = False
    kinds = [kind(a) for a in (plain, plain[:, ::2], fixed, plain.astype(np.float64), plain[0], 1, 1.0, True)]
    assert len(set(kinds)) == len(kinds)


def test_where_the_package_cannot_be_written_the_users_cache_holds_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native.os, "access", lambda *_: False)
    monkeypatch.delenv("SOLERA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.kept_in() == tmp_path / "solera" / "loops"
