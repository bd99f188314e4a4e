"""Pickles that would run code, eat memory or never end."""

from __future__ import annotations

import functools
import io
import os
import pickle
import struct
import zipfile

import pytest
import torch

from solera.checkpoints import Limits, open_checkpoint, pickle_machine
from solera.errors import CheckpointError, CorruptFile, UnsafeFile


class Reduced:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


MARKER = "attack-ran"
CALLS = {
    "system": (os.system, (f"touch {MARKER}",)),
    "eval": (eval, (f"open({MARKER!r}, 'w')",)),
    "exec": (exec, (f"open({MARKER!r}, 'w')",)),
    "getattr": (getattr, ("", "join")),
    "import": (__import__, ("os",)),
    "load": (torch.load, ("x",)),
    "storage": (torch.storage._load_from_bytes, (b"",)),
    "partial": (functools.partial, (print, MARKER)),
}


def _zip(path, program, *, compression=zipfile.ZIP_STORED, members=(), root="archive"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", program)
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def _nothing_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_calls_are_refused_by_name(tmp_path, call, protocol):
    function, args = CALLS[call]
    program = pickle.dumps({"w": Reduced(function, args)}, protocol=protocol)
    with pytest.raises(UnsafeFile, match=function.__qualname__):
        open_checkpoint(_zip(tmp_path / "m.bin", program))


@pytest.mark.parametrize("new", [True, False])
def test_calls_inside_a_file_of_torch(tmp_path, new):
    thing = {"a": torch.zeros(2), "b": Reduced(os.system, (f"touch {MARKER}",))}
    torch.save(thing, tmp_path / "m.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(UnsafeFile, match="system"):
        open_checkpoint(tmp_path / "m.pt")


def test_code_before_the_magic_number(tmp_path):
    (tmp_path / "m.bin").write_bytes(pickle.dumps(Reduced(os.system, (f"touch {MARKER}",))))
    with pytest.raises(UnsafeFile, match="system"):
        open_checkpoint(tmp_path / "m.bin")


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch attack-ran'\ntR.",
        b"(S'touch attack-ran'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch attack-ran'\no.",  # OBJ
        b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01a\x85R.",  # STACK_GLOBAL
        b"ccollections\nOrderedDict\n)R}\x93.",
        b"ctorch._utils\n_rebuild_tensor_v2\n.",
    ],
)
def test_hand_made_programs(tmp_path, program):
    with pytest.raises((UnsafeFile, CorruptFile)):
        open_checkpoint(_zip(tmp_path / "m.bin", program))


def _storage_program(*, storage=b"FloatStorage", numel=2, offset=0, shape=(2,), stride=(1,), key="0"):
    """A state dict {"w": tensor} written by hand."""
    out = io.BytesIO()

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return ("storage", obj.kind, key, "cpu", numel) if isinstance(obj, Handle) else None

    class Handle:
        kind = getattr(torch, storage.decode())

    args = (Handle(), offset, shape, stride, False, {})
    Pickler(out, protocol=2).dump({"w": Reduced(torch._utils._rebuild_tensor_v2, args)})
    return out.getvalue()


def test_the_honest_hand_made_file_is_read(tmp_path):
    path = _zip(tmp_path / "m.bin", _storage_program(), members=[("archive/data/0", bytes(8))])
    assert open_checkpoint(path).specs["w"].shape == (2,)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (3,)},
        {"offset": 1},
        {"offset": -1},
        {"stride": (2,)},
        {"stride": (-1,)},
        {"shape": (2**62, 2**62), "stride": (0, 0)},
        {"shape": (2.0,)},
        {"shape": (2, 1)},
        {"shape": ("2",)},
        {"offset": 10**40},
        {"key": "1"},
        {"key": "../0"},
        {"numel": -2},
        {"shape": (1,) * 100, "stride": (1,) * 100},
    ],
    ids=str,
)
def test_tensors_that_lie(tmp_path, changes):
    path = _zip(tmp_path / "m.bin", _storage_program(**changes), members=[("archive/data/0", bytes(8))])
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


def test_zip_bomb(tmp_path):
    members = [("archive/data/0", bytes(50_000_000))]
    path = _zip(tmp_path / "m.bin", _storage_program(), members=members, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeFile, match="Compressed or encrypted"):
        open_checkpoint(path)


def test_duplicate_members(tmp_path):
    members = [("archive/data/0", bytes(8))]
    path = _zip(tmp_path / "m.bin", _storage_program(), members=members)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(8))
    with pytest.raises(CorruptFile, match="two members"):
        open_checkpoint(path)


def test_member_that_claims_more_than_the_file(tmp_path):
    path = _zip(tmp_path / "m.bin", _storage_program(), members=[("archive/data/0", bytes(8))])
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptFile, match="outside the file"):
        open_checkpoint(path)


def test_big_endian(tmp_path):
    members = [("archive/data/0", bytes(8)), ("archive/byteorder", b"big")]
    with pytest.raises(CorruptFile, match="big-endian"):
        open_checkpoint(_zip(tmp_path / "m.bin", _storage_program(), members=members))


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02" + b"]" * 200_000 + b".",  # ever more lists
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo entry far away
        b"\x80\x02" + b"N" + b"r\xff\xff\xff\x7f0}.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # an integer of 2 GB
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a text of 2**63 bytes
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x04\x8d\x00\x00\x00\x00\x40\x00\x00\x00.",  # a text of 256 GB
        b"I" + b"9" * 100_000 + b"\n.",
        b"\x80\x02)" + b"\x85" * 200_000 + b".",  # tuples in tuples
        b"\x80\x02}" + b"K\x00" + b"\x86q\x00h\x00\x86" * 100 + b"Ns.",
    ],
    ids=range(10),
)
def test_programs_that_eat_memory_or_time(tmp_path, monkeypatch, program):
    monkeypatch.setattr(pickle_machine, "_MAX_STEPS", 150_000)
    with pytest.raises(CheckpointError):
        open_checkpoint(_zip(tmp_path / "m.bin", program))


def test_doubling_tuples_are_never_walked(tmp_path):
    doubling = b"\x80\x02K\x00" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))
    for use in (b"Ns.", b"h\x00\x93.", b"Q.", b"."):  # as a key, as a name, as a storage, as the result
        with pytest.raises(CheckpointError):
            open_checkpoint(_zip(tmp_path / "m.bin", b"\x80\x02}" + doubling[2:] + use))


def test_limit_on_the_pickle(tmp_path):
    program = pickle.dumps({"w": "x" * 10_000})
    with pytest.raises(UnsafeFile, match="too large"):
        open_checkpoint(_zip(tmp_path / "m.bin", program), limits=Limits(pickle_bytes=5000))
