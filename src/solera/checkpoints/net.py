"""A net under mapped files: a page that can no longer be read becomes zeros and is noted; the process lives on.

Where a mapped file is cut short, or its disk or network fails, the system sends SIGBUS at whichever instruction reads
the page. The handler here puts an empty page in its place and notes it; who reads mapped bytes asks `missed` afterwards
and raises. It is native code, since the signal comes while loops run without the interpreter, and minds only ranges
that are entered here: for all others the handler that was there before is put back and has its turn.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import sys
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOM = 1024
"""Ranges that can be entered at a time."""

PAGE = 4096
"""What the handler replaces; on machines of larger pages the system refuses, and there is no net."""

_ACTION_BYTES = 256
"""Room for C's struct sigaction: handler, mask of 1024 bits, flags, restorer."""
_FLAGS_AT, _WITH_INFO = 136, 4
_ADDRESS_AT = 16
"""Where siginfo holds the address, on Linux with 64 bits."""

_spreading = Lock()
_ranges: NDArray[np.int64] = np.zeros((ROOM, 3), np.int64)
"""First address, the one after the last, pages missed."""
_free = list(range(ROOM))
"""Taken and given back in one step each, without a lock: a collection of garbage may call `leave` inside `enter`."""
_before, _default = np.zeros(_ACTION_BYTES, np.uint8), np.zeros(_ACTION_BYTES, np.uint8)
"""The action that was there before, and the system's own, which ends the process."""
_misses = np.zeros(1, np.int64)
"""Pages missed, of all ranges that ever were."""
_strange = np.zeros(1, np.int64)
"""Signals for ranges of others: after the first it is the system's turn, as handlers hand back to one another."""

_HANDLER = """
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @sigaction(i32, ptr, ptr)
define void @solera_net(i32 %signal, ptr %info, ptr %context) {{
start:
  %where = getelementptr i8, ptr %info, i64 {address_at}
  %address = load i64, ptr %where
  br label %next
next:
  %i = phi i64 [ 0, %start ], [ %after, %look ]
  %all = icmp eq i64 %i, {words}
  br i1 %all, label %strange, label %look
look:
  %low_at = getelementptr i64, ptr inttoptr (i64 {ranges} to ptr), i64 %i
  %high_at = getelementptr i64, ptr %low_at, i64 1
  %count_at = getelementptr i64, ptr %low_at, i64 2
  %low = load i64, ptr %low_at
  %high = load i64, ptr %high_at
  %above = icmp uge i64 %address, %low
  %below = icmp ult i64 %address, %high
  %ours = and i1 %above, %below
  %after = add i64 %i, 3
  br i1 %ours, label %replace, label %next
replace:
  %first = and i64 %address, {first}
  %page = inttoptr i64 %first to ptr
  %made = call ptr @mmap(ptr %page, i64 {page}, i32 1, i32 50, i32 -1, i64 0)
  %old = atomicrmw add ptr %count_at, i64 1 seq_cst
  %all_old = atomicrmw add ptr inttoptr (i64 {misses} to ptr), i64 1 seq_cst
  %failed = icmp eq ptr %made, inttoptr (i64 -1 to ptr)
  br i1 %failed, label %strange, label %done
strange:
  %times = atomicrmw add ptr inttoptr (i64 {strange} to ptr), i64 1 seq_cst
  %first_time = icmp eq i64 %times, 0
  %next_one = select i1 %first_time, ptr inttoptr (i64 {before} to ptr), ptr inttoptr (i64 {default} to ptr)
  %given = call i32 @sigaction(i32 %signal, ptr %next_one, ptr null)
  br label %done
done:
  ret void
}}
"""
"""1: PROT_READ. 50: MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS."""


def spread() -> bool:
    """Put the net under this process, again where another handler has taken its place since; whether it is there.

    Needs 64-bit Linux, pages of 4 KiB, and llvmlite. Libraries that report faults put in handlers of their own.
    """
    with _spreading:  # a second thread that builds the handler meanwhile would fail, and take the first one's away
        handler = _handler()
        return handler != 0 and (_current() == handler or _install(handler))


@cache
def _handler() -> int:
    """The address of the handler; 0 where there can be none."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32 or mmap.PAGESIZE != PAGE:
        return 0
    try:
        return _compiled()
    except (ImportError, RuntimeError, OSError, AttributeError):
        return 0


_kept: list[Any] = []
"""The handler's code: it stays as long as the process."""


def _compiled() -> int:
    """The address of the handler."""
    from llvmlite import binding

    from solera.ops.kernels.native import linker

    text = _HANDLER.format(
        address_at=_ADDRESS_AT, words=_ranges.size, ranges=_ranges.ctypes.data, before=_before.ctypes.data,
        default=_default.ctypes.data, strange=_strange.ctypes.data, misses=_misses.ctypes.data, first=-PAGE, page=PAGE,
    )  # fmt: skip
    builder = binding.JITLibraryBuilder().add_current_process().add_ir(text).export_symbol("solera_net")
    _kept.append(library := builder.link(linker(), "net"))
    return int(library["solera_net"])


def _install(handler: int) -> bool:
    action = np.zeros(_ACTION_BYTES, np.uint8)
    action[:8].view(np.int64)[0] = handler
    action[_FLAGS_AT : _FLAGS_AT + 4].view(np.int32)[0] = _WITH_INFO
    return bool(_set_action()(signal.SIGBUS, action.ctypes.data, _before.ctypes.data) == 0)


def _current() -> int:
    """The address of the handler that is there now."""
    action = np.zeros(_ACTION_BYTES, np.uint8)
    _set_action()(signal.SIGBUS, None, action.ctypes.data)
    return int(action[:8].view(np.int64)[0])


@cache
def _set_action() -> Any:
    """C's sigaction."""
    call = ctypes.CDLL(None).sigaction
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    return call


def enter(start: int, stop: int) -> int | None:
    """Mind the addresses [start, stop); the place of the range, for `leave`, or None where there is no room."""
    try:
        place = _free.pop()
    except IndexError:
        return None
    _ranges[place] = start, stop, 0
    return place


def leave(place: int) -> None:
    """No longer mind a range."""
    _ranges[place] = 0
    _free.append(place)


def ever_missed() -> bool:
    """Whether a page of any range could ever not be read: most processes never ask further."""
    return bool(_misses[0])


def missed(place: int) -> bool:
    """Whether a page of a range could not be read since it was entered."""
    return bool(_ranges[place, 2])
