"""The files of an adapter that is made module by module: tensors are spooled, then laid out in one safetensors file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor

from solera.checkpoints import tensor_bytes
from solera.checkpoints.identity import hasher
from solera.checkpoints.shards import shard_layout
from solera.errors import BadParameter, NonFinite
from solera.execute.staging import Staging
from solera.methods.lora.adapter import PREFIX
from solera.methods.lora.merging import MergedModule
from solera.types import DType, TensorSpec

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_COPY = 1 << 22


@dataclass(slots=True)
class Spool:
    """Tensors on disk in the order in which they were made; ranks are known only when they are."""

    staging: Staging
    specs: dict[str, TensorSpec] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    _begins: dict[str, int] = field(default_factory=dict)
    _end: int = 0
    _file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Open the spool beside the staged model."""
        self._file = self._path.open("w+b")
        return self

    def __exit__(self, *exc: object) -> None:
        """Throw the spool away."""
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.staging.root / "tensors.bin"

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return self._end

    def add(self, name: str, shape: tuple[int, ...], dtype: DType, blocks: Iterable[Tensor]) -> None:
        """Round a tensor's blocks once, and append them.

        Raises:
            NonFinite: a value does not fit the type. OSError: the disk refuses; see `claimed`.
        """
        assert self._file is not None
        digest, begin = hasher(), self._end
        for block in blocks:
            rounded = block.to(getattr(torch, dtype.torch_name))
            if dtype is DType.F16 and not bool(torch.isfinite(rounded).all()):
                fix = "write bfloat16 or float32 with --dtype"
                raise NonFinite(f"{name} does not fit float16.", got="a magnitude above 65504", fix=fix)
            data = tensor_bytes(rounded)
            digest.update(data)
            self._write(data)
        self.specs[name] = TensorSpec(dtype, tuple(shape))
        self.digests[name], self._begins[name] = digest.hexdigest(), begin

    def assemble(self, metadata: Mapping[str, str]) -> None:
        """Write the adapter's weights into the staged model: the header, then every tensor at its place."""
        assert self._file is not None
        shard = shard_layout(WEIGHTS, self.specs, {"format": "pt", **metadata})
        with (self.staging.model / WEIGHTS).open("wb") as out:
            out.write(shard.header)
            for name in shard.specs:
                self._file.seek(self._begins[name])
                _copy(self._file, out, self.specs[name].nbytes)

    @property
    def digest(self) -> str:
        """Of all tensors: names, types, shapes, bytes; their order does not matter."""
        whole = hasher()
        for name, spec in sorted(self.specs.items()):
            whole.update(f"{name} {spec.dtype.value} {spec.shape} {self.digests[name]}\n".encode())
        return str(whole.hexdigest())

    def _write(self, data: Any) -> None:
        assert self._file is not None
        self._file.write(data)
        self._end += len(data)


def _copy(source: BinaryIO, out: BinaryIO, nbytes: int) -> None:
    left = nbytes
    while left:
        data = source.read(min(left, _COPY))
        out.write(data)
        left -= len(data)


def empty(staging: Staging) -> None:
    """Clear what an earlier, stopped run left."""
    shutil.rmtree(staging.model, ignore_errors=True)
    staging.model.mkdir(parents=True, exist_ok=True)


def add_module(spool: Spool, module: MergedModule, dtype: DType) -> None:
    """Write the factors of one module under PEFT's names, in PEFT's shapes."""
    embedding = module.kind == "embedding"
    kernel = (1,) * (len(module.inputs) - 1)
    outputs, rank = module.factors.left.shape
    stem = f"{PREFIX}{module.name}.lora_"
    a, b = (f"{stem}embedding_A", f"{stem}embedding_B") if embedding else (f"{stem}A.weight", f"{stem}B.weight")
    spool.add(a, (rank, *module.inputs), dtype, [module.factors.right])
    spool.add(b, (outputs, rank, *kernel), dtype, [module.factors.left])
    if module.bias is not None:
        spool.add(f"{stem}B.bias", (outputs,), dtype, [module.bias])


def float_type(text: str | None) -> DType | None:
    """Read an output type; None stays None.

    Raises:
        BadParameter: no floating-point type of 16 bits or more.

    Example:
        >>> float_type("bfloat16"), float_type(None)
        (<DType.BF16: 'BF16'>, None)
    """
    if text is None:
        return None
    try:
        found = DType.parse(text)
    except ValueError:
        found = DType.BOOL
    if found not in (DType.F64, DType.F32, DType.BF16, DType.F16):
        raise BadParameter("`dtype` is not usable.", got=text, want="float32, bfloat16, float16 or float64")
    return found
