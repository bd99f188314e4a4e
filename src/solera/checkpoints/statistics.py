"""Calibration statistics on disk: tensors measured on a model, and what says of which model and on what data.

A folder holds one file per kind, ``<kind>.safetensors``; its manifest is JSON in the file's own metadata, so that the
two cannot be parted. Statistics of weights are kept by canonical leaf name; those of a module's input once per
measuring site, with a map from leaves to sites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.reader import FileReader
from solera.errors import CorruptFile, NotFound, UnknownName, nearest

FORM = 1
"""Version of the form that files have."""
_KEY = "statistics"

Layout = Literal["leaf", "matrix", "vector", "counts", "experts", "examples"]
"""leaf: the weight's own shape; matrix: (inputs, inputs); vector: (inputs,); counts: (experts,).

experts: by the leaf of a router's weight, in a shape of its own: see `Kind.about`. examples: (samples, channels), by
layer.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of statistic: its name, the layout of its tensors, what it is, what measuring it takes.

    `labels`: of the data are needed. `gradients`: it takes backward passes. `measured`: in a pass over one model.
    """

    name: str
    layout: Layout
    about: str
    labels: bool = False
    gradients: bool = False
    measured: bool = True


_ALL = (
    Kind("fisher", "leaf", "diagonal Fisher information, expected over the model's own labels", gradients=True),
    Kind("sampled_fisher", "leaf", "diagonal Fisher information, one label drawn from the model", gradients=True),
    Kind("empirical_fisher", "leaf", "squared gradients at the labels of the data", labels=True, gradients=True),
    Kind("gram", "matrix", "mean outer product of a linear layer's inputs"),
    Kind("merged_gram", "matrix", "the same, behind layers that are merged already", measured=False),
    Kind("activation_norm", "vector", "mean magnitude of a layer's inputs, channel by channel"),
    Kind("activation_square", "vector", "mean square of a layer's inputs, channel by channel"),
    Kind("router_frequency", "counts", "share of tokens that a router sends to each expert"),
    Kind("router_gram", "experts", "mean outer product of a router's logits, (experts, experts)"),
    Kind("expert_activation", "experts", "sums over an expert's tokens of 1, gate, norm, gated norm, (4, experts)"),
    Kind("expert_output", "experts", "mean output of each expert over all tokens, (experts, width)"),
    Kind("layer_output", "examples", "what each layer gives for each example, averaged over its tokens"),
    Kind("second_moment", "leaf", "Adam's mean of squared gradients, from an optimizer's checkpoint", measured=False),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind, by name."""

ACCEPTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{name: (name,) for name in KINDS},
        "fisher": ("fisher", "sampled_fisher", "empirical_fisher", "second_moment"),
    }
)
"""What a method asks for -> the kinds that may stand for it, the preferred first."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of one file of statistics.

    Attributes:
        kind: a key of `KINDS`. model: how the measured model was named.
        model_digest: of its tensors (`identity.digest_checkpoint`). weak_id: of its files as they lay on the disk.
        data: how the data was named. data_digest: of what was fed. samples, tokens: how many, padding left out.
        seed: of the labels that were drawn. settings: what else the numbers depend on.
        sites: leaf -> name of the tensor that holds its input's statistic; empty where tensors go by leaf.
        through: digests of the models that were merged while measuring, in the order of the merge.
        notes: what was left out.
    """

    kind: str
    model: str
    model_digest: str
    weak_id: str
    data: str = ""
    data_digest: str = ""
    samples: int = 0
    tokens: int = 0
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    sites: Mapping[str, str] = field(default_factory=dict)
    through: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What two files agree in when the later one need not be measured."""
        settings = json.dumps(dict(self.settings), sort_keys=True)
        parts = (self.kind, self.model_digest, self.data_digest, self.seed, settings, self.through)
        return "\n".join(map(str, parts))


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """A file of statistics, opened: its header only.

    `digest` identifies header and file; it is part of the digest of plans.
    """

    path: str
    manifest: Manifest
    table: Mapping[str, Source] = field(repr=False)
    digest: str = ""

    def source(self, leaf: str) -> Source | None:
        """Where the statistic of a leaf lies; None where it was not measured."""
        name = self.manifest.sites.get(leaf) if self.manifest.sites else leaf
        return None if name is None else self.table.get(name)


def known_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UnknownName: there is none.

    Example:
        >>> known_kind("gram").layout
        'matrix'
    """
    if name not in KINDS:
        raise UnknownName(f"There is no statistic `{name}`.", fix=nearest(name, KINDS))
    return KINDS[name]


def file_for(path: str | Path, wanted: str) -> Path | None:
    """The file that stands for what a method asks for: `path` itself, or the preferred kind in that folder.

    Example:
        >>> file_for("/no/such/folder", "fisher") is None
        True
    """
    place = Path(path).expanduser()
    if not place.is_dir():
        return place if place.is_file() else None
    candidates = (place / f"{kind}.safetensors" for kind in ACCEPTED.get(wanted, (wanted,)))
    return next((file for file in candidates if file.is_file()), None)


def open_statistics(path: str | Path, reader: ByteReader | None = None) -> Statistics:
    """Open a file of statistics; no tensor is read.

    Raises:
        NotFound: there is no such file. CorruptFile: it is no file of statistics, or of a later form.
    """
    if not Path(path).is_file():
        raise NotFound("There is no such file of statistics.", where=path, fix="solera learn statistics --help")
    if reader is None:
        with FileReader() as own:
            return open_statistics(path, own)
    from solera.checkpoints.safetensors_file import read_header

    header = read_header(str(path), reader)
    identity = f"{header.digest} {header.stamp.size} {header.stamp.mtime_ns}"
    return Statistics(str(path), _manifest(header.metadata, path), header.tensors, identity)


def _manifest(metadata: Mapping[str, str], path: str | Path) -> Manifest:
    try:
        said = json.loads(metadata[_KEY])
        form = said.pop("form")
        manifest = Manifest(**{**said, "through": tuple(said["through"]), "notes": tuple(said["notes"])})
        known = form == FORM and manifest.kind in KINDS
    except (KeyError, TypeError, ValueError):
        form, known = None, False
    if not known:
        fix = "measure them with `solera learn statistics`" if form is None else "install a newer Solera"
        got = "no manifest" if form is None else f"form {form}"
        raise CorruptFile("This is no file of statistics.", where=path, got=got, want=f"form {FORM}", fix=fix)
    return manifest


def write_statistics(folder: str | Path, manifest: Manifest, sources: Mapping[str, Source]) -> Path:
    """Write one kind into `folder`, under another name that is exchanged at the end; returns the file.

    Cost: one tensor in memory at a time.

    Example:
        >>> import tempfile, torch
        >>> from solera.checkpoints import MemorySource
        >>> manifest = Manifest("gram", "m", "d", "w")
        >>> made = write_statistics(tempfile.mkdtemp(), manifest, {"a": MemorySource(torch.eye(2))})
        >>> open_statistics(made).manifest == manifest, sorted(open_statistics(made).table)
        (True, ['a'])
    """
    target = Path(folder) / f"{manifest.kind}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_suffix(".partial")
    write_tensors(staged, sources, {_KEY: json.dumps({"form": FORM, **asdict(manifest)}, sort_keys=True)})
    staged.replace(target)
    return target


def write_tensors(path: Path, sources: Mapping[str, Source], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, tensor by tensor."""
    from solera.checkpoints.shards import shard_layout
    from solera.checkpoints.writer import open_for_writing, tensor_bytes

    shard = shard_layout(path.name, {name: source.spec for name, source in sources.items()}, metadata)
    with FileReader() as reader, open_for_writing(path, shard.size) as file:
        file.write(0, shard.header)
        for name, offset in shard.offsets.items():
            source = sources[name]
            file.write(offset, tensor_bytes(source.read(reader, 0, source.spec.numel)))
