"""Views of mapped files: the same bytes, and no end of the process where a page is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from solera.checkpoints import mapped, net
from solera.checkpoints.mapped import View
from solera.checkpoints.reader import FileReader
from solera.errors import SourceChanged

pytestmark = pytest.mark.skipif(not net.spread(), reason="no net under mapped files: not Linux, or no llvmlite")

LEAST = mapped.LEAST


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Three of the smallest views and a bit."""
    file = tmp_path / "m.bin"
    file.write_bytes(np.random.default_rng(0).bytes(3 * LEAST + 100))
    return str(file)


@pytest.fixture
def sparse(tmp_path: Path) -> str:
    """32 MiB of zeros that take no place."""
    file = tmp_path / "sparse.bin"
    file.touch()
    os.truncate(file, 32 << 20)
    return str(file)


@pytest.mark.parametrize("offset", [0, 8, LEAST - 8, 2 * LEAST + 96])
def test_a_view_shows_what_would_be_read(path: str, offset: int) -> None:
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        for start, stop in ((0, LEAST), (5000, 9000), (0, 3)):
            shown = reader.show(view, offset + start, offset + stop)
            assert shown is not None
            assert not shown.flags.writeable
            assert shown.tobytes() == reader.pread(path, offset + start, stop - start).tobytes()
        assert reader.bytes_read == 2 * (LEAST + 4000 + 3)
        assert not view.lost


def resident(view: View) -> int:
    """KiB of the view that are in the process's memory."""
    first = view.data.ctypes.data // mapped.mmap.PAGESIZE * mapped.mmap.PAGESIZE
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{first:x}-"))
    return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))


def test_only_the_part_that_is_shown_is_in_memory_with_what_is_mapped_along(sparse: str) -> None:
    part = 1 << 20
    with FileReader() as reader:
        view = reader.view(sparse)
        assert view is not None
        assert resident(view) == 0
        for start in range(0, 32 * part, part):
            shown = reader.show(view, start, start + part)
            assert shown is not None
            assert shown.sum() == 0
            assert part <= 1024 * resident(view) <= part + 2 * mapped.AROUND


def test_what_was_shown_stays_until_it_is_too_much(sparse: str) -> None:
    part = 1 << 20
    with FileReader() as reader:
        view = reader.view(sparse)
        assert view is not None
        found = []
        for start in range(0, 32 * part, part):
            shown = reader.show(view, start, start + part, keep=8 * part)
            assert shown is not None
            found.append(resident(view) >> 10)
        assert found[7] >= 8
        assert max(found) <= 8 + (2 * mapped.AROUND >> 20)
        assert reader.show(view, 0, part, keep=8 * part) is not None
        assert resident(view) >> 10 <= 1 + (mapped.AROUND >> 20)


def test_what_comes_next_is_brought_along_as_far_as_may_stay(sparse: str) -> None:
    part = 1 << 20
    with FileReader() as reader:
        view = reader.view(sparse)
        assert view is not None
        assert reader.show(view, 0, part, 4 * part, 32 * part) is not None
        assert [view.holds(0, 4 * part), view.holds(0, 4 * part + 1)] == [True, False]
        assert 4 <= resident(view) >> 10 <= 4 + (mapped.AROUND >> 20)
        assert reader.bytes_read == part


def test_what_is_there_is_shown_without_asking_the_system(sparse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 1 << 20
    with FileReader() as reader:
        view = reader.view(sparse)
        assert view is not None
        assert reader.show(view, 0, part, 8 * part, 4 * part) is not None
        assert reader.show(view, 6 * part, 7 * part, 8 * part, 7 * part) is not None
        monkeypatch.setattr(mapped, "_advised", lambda *_: False)
        assert reader.show(view, 6 * part, 7 * part, 8 * part) is not None
        assert reader.show(view, 2 * part, 3 * part, 8 * part) is None, "nobody asked for what lies between"


@pytest.mark.parametrize("start", [4, 2 * LEAST + 104], ids=["where no element may begin", "past the end"])
def test_a_part_that_cannot_be_shown_is_to_be_read(path: str, start: int) -> None:
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        assert reader.show(view, start, start + LEAST) is None
        assert reader.bytes_read == 0


def test_small_files_are_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "small.bin").write_bytes(bytes(LEAST - 8))
    with FileReader() as reader:
        assert reader.view(str(tmp_path / "small.bin")) is None


def test_more_views_than_the_net_takes_are_to_be_read(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "_free", [7])
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        assert reader.view(path) is None
        del view
        assert reader.view(path) is not None


def test_a_range_is_minded_as_long_as_an_array_shows_it(path: str) -> None:
    free = len(net._free)
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        shown = reader.show(view, 0, LEAST)
        del view
        assert len(net._free) == free - 1
        assert shown is not None
        del shown
        assert len(net._free) == free


def test_a_view_may_end_at_any_moment_as_collections_of_garbage_come(path: str) -> None:
    with FileReader() as reader:
        views = [reader.view(path)]
        assert views[0] is not None
        end = Thread(target=views.clear, daemon=True)
        with net._spreading:
            end.start()
            end.join(10)
            assert not end.is_alive()


def test_a_file_cut_short_under_a_view_is_noticed_and_the_process_lives(path: str) -> None:
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        shown = reader.show(view, LEAST, 3 * LEAST)
        assert shown is not None
        os.truncate(path, LEAST)
        assert shown[LEAST:].sum() == 0
        assert view.lost
        with pytest.raises(SourceChanged):
            reader.show(view, 0, LEAST)


def test_a_part_that_is_gone_before_it_is_shown_is_to_be_read(path: str) -> None:
    with FileReader() as reader:
        view = reader.view(path)
        assert view is not None
        os.truncate(path, LEAST)
        assert view.show(2 * LEAST, 3 * LEAST) is None
        assert not view.lost


def test_only_views_of_the_file_are_lost(path: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.bin"
    whole.write_bytes(bytes(LEAST))
    with FileReader() as reader:
        view, good = reader.view(path), reader.view(str(whole))
        assert view is not None
        assert good is not None
        os.truncate(path, 0)
        assert view.data[0] == good.data[0] == 0
        assert (view.lost, good.lost) == (True, False)


def test_the_net_is_spread_again_where_another_handler_took_its_place(path: str) -> None:
    import faulthandler

    was = faulthandler.is_enabled()
    faulthandler.disable()
    faulthandler.enable(file=sys.__stderr__)
    try:
        with FileReader() as reader:
            view = reader.view(path)
            assert view is not None
            os.truncate(path, 0)
            assert view.data[0] == 0
            assert view.lost
    finally:
        if not was:
            faulthandler.disable()


AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from solera.checkpoints import net
from solera.ops.kernels.native import linker
linker()
found, ready = [], threading.Barrier(8)
def spread():
    ready.wait()
    found.append(net.spread())
threads = [threading.Thread(target=spread) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [True] * 8, found
assert net.spread()
"""


def test_threads_that_spread_the_net_at_once_all_have_it() -> None:
    subprocess.run([sys.executable, "-c", AT_ONCE], check=True, timeout=60)


SPREAD = """
import faulthandler, mmap, os, sys
from solera.checkpoints import net
assert net.spread()
"""
REPORTED = """
faulthandler.enable()
assert net.spread()
"""
STRANGER = """
path = sys.argv[1]
pages = mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)
os.truncate(path, 0)
pages[0]
"""


def run(script: str, path: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own."""
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, timeout=60, check=False)


def test_where_faults_are_reported_they_still_are_and_end_the_process(path: str) -> None:
    done = run(SPREAD + REPORTED + STRANGER, path)
    assert done.returncode == -signal.SIGBUS
    assert done.stderr.count(b"Bus error") == 1


def test_pages_of_others_still_end_the_process(path: str) -> None:
    assert run(SPREAD + STRANGER, path).returncode == -signal.SIGBUS
