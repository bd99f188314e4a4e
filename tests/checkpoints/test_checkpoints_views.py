"""Views: values against plain torch, and the same bits for every slice."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.checkpoints import (
    Concat,
    Dequantise,
    FileRange,
    FileReader,
    Fill,
    GatherRows,
    LoraApplied,
    MemoryReader,
    MemorySource,
    Part,
    digest_checkpoint,
    gather_rows,
    lora,
    memory_checkpoint,
    open_checkpoint,
    tensor_digest,
    with_dequantised,
)
from solera.checkpoints.identity import CHUNK_BYTES
from solera.checkpoints.rows import with_rows
from solera.errors import CheckpointError, MissingTensor, ShapeMismatch
from solera.types import DType, TensorSpec


def _random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _assert_slices(source, whole, reader=None):
    flat = whole.reshape(-1)
    assert source.spec.shape == tuple(whole.shape)
    assert source.spec.dtype.torch_name == str(whole.dtype).removeprefix("torch.")
    count = flat.numel()
    cuts = sorted({0, count, *(count * i // 7 for i in range(8)), min(1, count), max(0, count - 1)})
    for i, start in enumerate(cuts):
        for stop in cuts[i:]:
            got = source.read(reader, start, stop)
            assert got.dtype == whole.dtype
            assert torch.equal(got.view(torch.uint8), flat[start:stop].contiguous().view(torch.uint8))


def test_part():
    fused = _random(4, 3, 5, dtype=torch.bfloat16)
    _assert_slices(Part(MemorySource(fused), 2 * 15, (3, 5)), fused[2])
    with pytest.raises(ShapeMismatch):
        Part(MemorySource(fused), 46, (3, 5))


def test_concat():
    parts = [_random(n, 5, seed=n) for n in (1, 3, 0, 2)]
    sources = tuple(map(MemorySource, parts))
    _assert_slices(Concat(sources), torch.cat(parts))
    experts = [_random(3, 5, seed=n) for n in range(4)]
    _assert_slices(Concat(tuple(map(MemorySource, experts)), (4, 3, 5)), torch.stack(experts))
    with pytest.raises(ShapeMismatch):
        Concat((MemorySource(torch.zeros(1, 2)), MemorySource(torch.zeros(1, 3))))
    with pytest.raises(ShapeMismatch):
        Concat((MemorySource(torch.zeros(1, 2)), MemorySource(torch.zeros(1, 2).half())))


def test_fill():
    _assert_slices(Fill(TensorSpec(DType.BF16, (3, 2)), 1.5), torch.full((3, 2), 1.5, dtype=torch.bfloat16))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_gathered_rows(data):
    heights = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    tensors = [_random(height, 3, seed=i, dtype=torch.bfloat16) for i, height in enumerate(heights)]
    entry = st.integers(0, len(heights) - 1).flatmap(lambda s: st.tuples(st.just(s), st.integers(0, heights[s] - 1)))
    rows = data.draw(st.lists(st.lists(entry, max_size=3), min_size=1, max_size=9))
    view = gather_rows([MemorySource(tensor) for tensor in tensors], rows)
    expected = torch.zeros(len(rows), 3)
    for i, entries in enumerate(rows):
        for nth, (source, row) in enumerate(entries):
            value = tensors[source][row].float()
            expected[i] = value if nth == 0 else expected[i] + value
        expected[i] /= max(1, len(entries))
    copies = all(len(entries) <= 1 for entries in rows)
    _assert_slices(view, expected.bfloat16() if copies else expected)


def test_gathered_rows_keep_bits_and_refuse_bad_rows():
    odd = torch.tensor([[-0.0], [float("nan")], [1e-45]])
    _assert_slices(gather_rows([MemorySource(odd)], [[(0, 1)], [(0, 0)], [(0, 2)]]), odd[[1, 0, 2]])
    for rows in ([[(0, 3)]], [[(1, 0)]], [[(0, -1)]]):
        with pytest.raises(ShapeMismatch):
            gather_rows([MemorySource(odd)], rows)
    with pytest.raises(ShapeMismatch):
        gather_rows([MemorySource(odd), MemorySource(torch.zeros(2, 2))], [[(0, 0)]])


def test_gathering_a_large_vocabulary_takes_seconds(tmp_path):
    rows, width = 150_000, 64
    path = tmp_path / "e"
    path.write_bytes(np.arange(rows, dtype="<u4").repeat(width).tobytes())
    source = FileRange(str(path), 0, TensorSpec(DType.I32, (rows, width)))
    order = np.random.default_rng(0).permutation(rows)
    view = GatherRows((source,), np.arange(rows + 1), np.zeros(rows, dtype=np.int64), order)
    begin = time.monotonic()
    with FileReader() as reader:
        step = 1 << 20
        parts = [view.read(reader, i, min(i + step, rows * width)) for i in range(0, rows * width, step)]
        merged = torch.cat(parts).reshape(rows, width)
    assert torch.equal(merged[:, 5], torch.from_numpy(order.astype(np.int32)))
    assert time.monotonic() - begin < 20


def test_rows_replaced():
    base, new = _random(5, 3, dtype=torch.bfloat16), _random(2, 3, seed=1)
    expected = base.float()
    expected[[4, 1]] = new
    view = with_rows(MemorySource(base), MemorySource(new), [4, 1])
    _assert_slices(view, expected)
    assert view.natural is DType.BF16
    with pytest.raises(ShapeMismatch):
        with_rows(MemorySource(base), MemorySource(new), [4, 5])


# --- fp8 -------------------------------------------------------------------------------------------------------------


def _spread(scale, block, shape):
    rows = scale.repeat_interleave(block[0], -2)[..., : shape[-2], :]
    return rows.repeat_interleave(block[1], -1)[..., : shape[-1]]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize(
    ("shape", "block"), [((5, 7), (2, 3)), ((4, 6), (2, 3)), ((3, 5, 7), (2, 3)), ((5, 7), (1, 7)), ((5, 7), (5, 7))]
)
def test_dequantise(dtype, shape, block):
    weight = _random(*shape, dtype=dtype)
    high, wide = -(-shape[-2] // block[0]), -(-shape[-1] // block[1])
    scale = _random(*shape[:-2], high, wide, seed=1).abs()
    view = Dequantise(MemorySource(weight), MemorySource(scale), block)
    _assert_slices(view, weight.float() * _spread(scale, block, shape))
    assert view.natural is DType.BF16


def _fp8_model(weight, scale, config, name="layer.weight_scale_inv", **more):
    tensors = {"layer.weight": weight, name: scale, "norm.weight": torch.ones(2).bfloat16(), **more}
    return memory_checkpoint(tensors, config)


BLOCKS = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}, "torch_dtype": "float16"}


def test_block_scaled_model():
    weight, scale = _random(130, 200, dtype=torch.float8_e4m3fn), _random(2, 2, seed=1)
    model = with_dequantised(_fp8_model(weight, scale, BLOCKS))
    expected = weight.float() * _spread(scale, (128, 128), (130, 200))
    _assert_slices(model.table["layer.weight"], expected)
    assert model.table["layer.weight"].natural is DType.F16
    assert list(model.table) == ["layer.weight", "norm.weight"]
    assert model.consumed == {"layer.weight_scale_inv": "fp8 scale of layer.weight"}
    assert model.config_patch == {"quantization_config": None}


@pytest.mark.parametrize(
    ("name", "scale", "config"),
    [
        ("layer.weight_scale", torch.tensor(0.5), {"quant_method": "modelopt", "quant_algo": "FP8"}),
        ("layer.weight_scale", torch.tensor([0.5]), {"quant_method": "fp8"}),
        ("layer.weight_scale", torch.arange(1.0, 4.0), {"quant_method": "fbgemm_fp8"}),
        (
            "layer.weight_scale",
            torch.arange(1.0, 4.0)[:, None],
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
        ),
        ("layer.scale", torch.tensor(0.5), {}),
    ],
)
def test_tensor_and_channel_scales(name, scale, config):
    weight = _random(3, 4, dtype=torch.float8_e4m3fn)
    model = _fp8_model(weight, scale, {"quantization_config": config}, name, **{"layer.input_scale": torch.ones(1)})
    model = with_dequantised(model)
    _assert_slices(model.table["layer.weight"], weight.float() * (scale[:, None] if scale.ndim == 1 else scale))
    assert set(model.table) == {"layer.weight", "norm.weight"}
    assert set(model.consumed) == {name, "layer.input_scale"}


def test_plain_fp8_numbers_stay_as_they_are():
    model = memory_checkpoint({"layer.weight": _random(3, 4, dtype=torch.float8_e4m3fn)})
    assert with_dequantised(model) is model


def test_missing_scale():
    model = memory_checkpoint({"layer.weight": _random(3, 4, dtype=torch.float8_e4m3fn)}, BLOCKS)
    with pytest.raises(MissingTensor, match="has no scale"):
        with_dequantised(model)


def test_scales_of_another_size():
    with pytest.raises(ShapeMismatch, match="Scales do not fit"):
        with_dequantised(_fp8_model(_random(130, 200, dtype=torch.float8_e4m3fn), _random(2, 3), BLOCKS))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "compressed-tensors",
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt"),
    ],
)
def test_other_schemes_are_refused_by_name(config, name):
    model = memory_checkpoint({"w": torch.zeros(2)}, {"quantization_config": config})
    with pytest.raises(CheckpointError, match=f"got: +{name}"):
        with_dequantised(model)


def test_schemes_known_by_their_tensors():
    with pytest.raises(CheckpointError, match="gptq or awq"):
        with_dequantised(memory_checkpoint({"layer.qweight": torch.zeros(2, dtype=torch.int32)}))


def test_fp8_folder(tmp_path):
    import json

    import safetensors.torch

    tensors = {
        "layer.weight": _random(4, 4, dtype=torch.float8_e4m3fn),
        "layer.weight_scale_inv": torch.full((1, 1), 2.0),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(BLOCKS))
    model = open_checkpoint(tmp_path)
    assert pickle.loads(pickle.dumps(model)) == model
    with FileReader() as reader:
        _assert_slices(model.table["layer.weight"], tensors["layer.weight"].float() * 2, reader)


# --- identity --------------------------------------------------------------------------------------------------------


def test_digests_depend_on_content_alone(tmp_path):
    tensor = _random(CHUNK_BYTES // 4 + 3, 2)
    path = str(tmp_path / "x")
    reader = MemoryReader({path: b"head" + tensor.numpy().tobytes()})
    in_file = tensor_digest(FileRange(path, 4, TensorSpec(DType.F32, tuple(tensor.shape))), reader)
    assert in_file == tensor_digest(MemorySource(tensor), reader)
    changed = tensor.clone()
    changed[-1, -1] += 1
    others = [changed, tensor.reshape(2, -1), tensor.view(torch.int32)]
    digests = {in_file, *(tensor_digest(MemorySource(other), reader) for other in others)}
    assert len(digests) == 4


def test_digest_of_a_model():
    a, b = torch.ones(3), torch.zeros(2, 2).bfloat16()
    seen = []
    first = digest_checkpoint(memory_checkpoint({"a": a, "b": b, "e": torch.empty(0)}), on_tensor=seen.append)
    assert seen == ["a", "b", "e"]
    assert first == digest_checkpoint(memory_checkpoint({"e": torch.empty(0), "b": b, "a": a}))
    assert first.root != digest_checkpoint(memory_checkpoint({"b": a, "a": b, "e": torch.empty(0)})).root


# --- adapters --------------------------------------------------------------------------------------------------------


class _Products(torch.overrides.TorchFunctionMode):
    """Records first row and rows of every left factor that is multiplied."""

    def __init__(self):
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__):
            self.seen.append((args[0].storage_offset() // args[0].stride(0), args[0].shape[0]))
        return function(*args, **(kwargs or {}))


def test_adapters_multiply_on_fixed_tiles(monkeypatch):
    monkeypatch.setattr(lora, "CELL", 3 * 7)
    base, a, b = (MemorySource(_random(*shape, seed=i)) for i, shape in enumerate([(10, 7), (2, 7), (10, 2)]))
    view = LoraApplied(base, a, b, 0.5)
    with _Products() as products:
        got = view.read(None, 7 * 4 + 2, 7 * 9 + 5)
    assert products.seen == [(3, 3), (6, 3), (9, 1)]
    expected = base.tensor.double() + 0.5 * (b.tensor.double() @ a.tensor.double())
    torch.testing.assert_close(got, expected.float().reshape(-1)[7 * 4 + 2 : 7 * 9 + 5], rtol=1e-6, atol=1e-6)
    with pytest.raises(ShapeMismatch, match="does not fit"):
        LoraApplied(base, b, a, 0.5)
