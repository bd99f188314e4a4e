"""What a worker sees of its operands: as much stays mapped as there is room for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from solera.checkpoints import net
from solera.checkpoints.reader import FileReader
from solera.execute.windows import Span, Windows
from solera.ops.kernels.buffers import Buffers

pytestmark = pytest.mark.skipif(not net.spread(), reason="no net under mapped files: not Linux, or no llvmlite")

MIB = 1 << 20


@pytest.fixture
def span(tmp_path: Path) -> Span:
    """32 MiB of zeros that take no place."""
    file = tmp_path / "sparse.bin"
    file.touch()
    os.truncate(file, 32 * MIB)
    return Span(str(file), 0, 32 * MIB)


def mapped(windows: Windows) -> list[int]:
    """MiB of every slot that have been brought."""
    return [(view.high - view.low) // MIB for view in windows._views.values()]


@pytest.mark.parametrize(("ahead", "each"), [(True, 4), (False, 1)])
def test_operands_share_the_room_from_the_first_on(span: Span, *, ahead: bool, each: int) -> None:
    with FileReader() as reader:
        windows = Windows(reader, Buffers(), 12 * MIB, ahead)
        for slot in range(3):
            assert windows.at(slot, span, 0, MIB, 3).size == MIB
        assert mapped(windows) == [each] * 3


def test_operands_of_earlier_leaves_keep_their_share(span: Span) -> None:
    with FileReader() as reader:
        windows = Windows(reader, Buffers(), 12 * MIB)
        for slot in range(3):
            windows.at(slot, span, 0, MIB, 3)
        windows.at(0, span, 8 * MIB, 9 * MIB, 1)
        assert sum(mapped(windows)) <= 12
