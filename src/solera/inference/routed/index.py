"""The index of a pack, pack.json: which files hold what, for which tasks, and what their bytes must be.

A folder is a pack by this file. Nothing in it is trusted: names stay in the folder, digests are compared before a
tensor is used, and no value is code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from solera.checkpoints.contract import Limits, Source
from solera.checkpoints.folder import path_inside
from solera.checkpoints.identity import digest_file
from solera.checkpoints.reader import FileReader
from solera.checkpoints.safetensors_file import read_header
from solera.checkpoints.strict_json import read_object
from solera.errors import CorruptFile, NotFound, UnknownName, nearest
from solera.inference.routed.digests import AGAIN

FORM = 1
"""Version of the form that packs have."""
INDEX = "pack.json"
MODEL_TYPE = "solera_pack"

Use = Literal["one", "all"]
"""What a router's weights do: the likeliest task alone, or every task by its weight."""
StartRole = Literal["base", "shared"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST = 1 << 24
"""The most channels that a router may have: what is larger is a lie."""


@dataclass(frozen=True, slots=True)
class TaskPart:
    """What one task adds.

    Attributes:
        name: letters, digits, ``._-``. file: of its tensors. scale: multiplies what its masks let through.
        answers: the logits that answer, where only some of a common head do.
        labels: class id -> name, where its head is its own.
    """

    name: str
    file: str
    scale: float = 1.0
    answers: tuple[int, int] | None = None
    labels: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class RouterPart:
    """The router: its file, how the features are taken, and what it was trained on.

    `layer`: whose hidden states, -1 the last. `width`: of a feature; `hidden`: of the network.
    `samples`: examples. `accuracy`: share of held-out examples sent to their task. `mixes`: whether a batch of
    mixtures runs in one pass (tried on examples), or every mixture is rebuilt.
    """

    file: str
    layer: int
    width: int
    hidden: int
    samples: int = 0
    accuracy: float = 0.0
    mixes: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A file of tensors as it was written: bytes and BLAKE3 of the whole file."""

    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as its index tells it.

    model = start + sum over tasks of weight x what the task adds

    Attributes:
        folder: where it lies. method: what made it. parameters: of the method.
        start: file of the weights that all tasks start from; start_role: the base, or a merge of the experts (shared).
        vector: file of the vector that masks are laid over, or None. use: what routing does with weights.
        tasks: in the order of the router's weights. router: None where tasks must be given.
        files: name -> what was written. experts: bytes of the separate models.
        architecture: class of transformers. config: of the model inside.
    """

    folder: Path
    method: str
    start: str
    start_role: StartRole
    vector: str | None
    use: Use
    tasks: tuple[TaskPart, ...]
    files: Mapping[str, Written]
    router: RouterPart | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    experts: int = 0
    architecture: str = ""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(task.name for task in self.tasks)

    def place(self, name: str) -> int:
        """Where a task stands.

        Raises:
            UnknownName: there is none of that name.
        """
        if name not in self.names:
            raise UnknownName("The pack has no such task.", where=self.folder, got=name, fix=nearest(name, self.names))
        return self.names.index(name)

    def sizes(self) -> dict[str, Any]:
        """Bytes of the files by what they are for, all together, and as a share of the separate models."""
        named = {name: row.bytes for name, row in self.files.items()}
        start = named[self.start]
        found: dict[str, Any] = {
            "base": start if self.start_role == "base" else 0,
            "shared": (start if self.start_role == "shared" else 0) + named.get(self.vector or "", 0),
            "tasks": {task.name: named[task.file] for task in self.tasks},
            "router": named.get(self.router.file, 0) if self.router else 0,
        }
        total = sum(named.values())
        return {**found, "total": total, "experts": self.experts, "share": total / self.experts if self.experts else 0}

    def plain(self) -> dict[str, Any]:
        """What the index file says."""
        said = asdict(self)
        for name in ("folder", "architecture", "config"):
            said.pop(name)
        return {"form": FORM, **said}


def checked_name(name: str) -> str:
    """A task's name, if it can be part of a file's name.

    Raises:
        UnknownName: it cannot.

    Example:
        >>> checked_name("math-v2")
        'math-v2'
    """
    if not _NAME.fullmatch(name):
        fix = "give names with --tasks"
        raise UnknownName("A task cannot have this name.", got=name[:100], want="letters, digits and ._-", fix=fix)
    return name


def open_pack(folder: str | Path) -> Pack:
    """Read the index of a pack; no tensor is read.

    Raises:
        NotFound: the folder has no index, or a file of it is missing. CorruptFile: the index does not hold together, or
            it is of a later form. UnsafeFile: a name leads out of the folder.
    """
    folder = Path(folder).expanduser()
    path = folder / INDEX
    if not path.is_file():
        fix = "make one with `solera pack make`"
        raise NotFound("This is no pack.", where=folder, want=f"a folder with {INDEX}", fix=fix)
    said = read_object(path, Limits().json_bytes, what="The index")
    config = read_object(folder / "config.json", Limits().json_bytes, what="The config")
    if config.get("index") != digest_file(path):
        raise CorruptFile("The index is not the one that config.json was written with.", where=path, fix=AGAIN)
    try:
        pack = _parsed(folder, said, config)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise CorruptFile("The index of the pack cannot be read.", where=path, got=got, fix=AGAIN) from None
    _check(pack)
    return pack


def _parsed(folder: Path, said: Mapping[str, Any], config: Mapping[str, Any]) -> Pack:
    if said["form"] != FORM:
        fix = "install a newer Solera"
        raise CorruptFile("The pack is of another form.", where=folder, got=said["form"], want=FORM, fix=fix)
    vector, router = said["vector"], said["router"]
    return Pack(
        folder=folder,
        method=_text(said["method"]),
        start=_text(said["start"]),
        start_role=_one_of(said["start_role"], ("base", "shared")),
        vector=None if vector is None else _text(vector),
        use=_one_of(said["use"], ("one", "all")),
        tasks=tuple(_task(row) for row in said["tasks"]),
        files={str(name): Written(int(row["bytes"]), str(row["digest"])) for name, row in said["files"].items()},
        router=None if router is None else _router(router),
        parameters=dict(said["parameters"]),
        experts=int(said["experts"]),
        architecture=_text(config["inner"]["architectures"][0]),
        config=dict(config["inner"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:100]} is no text")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError(f"{str(value)[:100]} is no size")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(float(value)):
        raise ValueError(f"{value} is not finite")
    return float(value)


def _one_of(value: Any, known: tuple[Any, ...]) -> Any:
    if value not in known:
        raise ValueError(value)
    return value


def _router(row: Mapping[str, Any]) -> RouterPart:
    return RouterPart(
        file=_text(row["file"]),
        layer=int(row["layer"]),
        width=_count(row["width"]),
        hidden=_count(row["hidden"]),
        samples=int(row.get("samples", 0)),
        accuracy=_finite(row.get("accuracy", 0.0)),
        mixes=row.get("mixes") is True,
    )


def _task(row: Mapping[str, Any]) -> TaskPart:
    answers, labels = row["answers"], row["labels"]
    return TaskPart(
        name=_text(row["name"]),
        file=_text(row["file"]),
        scale=_finite(row["scale"]),
        answers=None if answers is None else (int(answers[0]), int(answers[1])),
        labels=None if labels is None else {int(key): str(value) for key, value in labels.items()},
    )


def _check(pack: Pack) -> None:
    """Files that are there, lie in the folder, and are what the index speaks of."""
    if not pack.tasks or len(set(pack.names)) != len(pack.tasks):
        raise CorruptFile("The tasks of the pack are not distinct.", where=pack.folder, got=", ".join(pack.names))
    for name in pack.names:
        checked_name(name)
    spoken = [pack.start, *([pack.vector] if pack.vector else []), *(task.file for task in pack.tasks)]
    spoken += [pack.router.file] if pack.router else []
    for name in spoken:
        if name not in pack.files:
            raise CorruptFile("The index speaks of a file that it does not list.", where=pack.folder, got=name)
    for name, written in pack.files.items():
        path = path_inside(pack.folder, name)
        if not path.is_file():
            raise NotFound("A file of the pack is missing.", where=pack.folder, got=name, fix=AGAIN)
        if path.stat().st_size != written.bytes:
            got, want = f"{path.stat().st_size} bytes", f"{written.bytes} bytes"
            raise CorruptFile("A file of the pack has another size.", where=path, got=got, want=want, fix=AGAIN)


def table_of(pack: Pack, name: str, reader: FileReader) -> Mapping[str, Source]:
    """The tensors of one file of a pack; headers only."""
    return read_header(str(pack.folder / name), reader).tensors
