"""Models at addresses: opened by headers, read by ranges, pinned, repeated when a server fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.conftest import recipe
from tests.remote.faulty_proxy import Proxy

from solera import app
from solera.app.verify import verify
from solera.checkpoints import FileReader, open_checkpoint, parse_ref
from solera.checkpoints.remote.reading import RemoteReader
from solera.checkpoints.remote.schedule import scheduled
from solera.errors import CheckpointError, CorruptFile, MissingExtra, NotFound, SourceChanged
from solera.recipe.values import Merge, Operand, Output, Recipe

Zoo = Callable[..., dict[str, Path]]
Upload = Callable[..., str]


def merged(method: str, models: list[str], base: str | None, **parameters: Any) -> Recipe:
    operands = tuple(Operand(parse_ref(model)) for model in models)
    return Recipe(Merge(method, operands, base=parse_ref(base) if base else None, parameters=parameters))


def test_a_model_on_s3_is_opened_by_a_listing_and_one_request_per_header(s3: Proxy, zoo: Zoo, upload: Upload) -> None:
    folder = zoo(experts=0)["base"]
    address = upload(folder)
    model, local = open_checkpoint(address), open_checkpoint(folder)
    assert dict(model.specs) == dict(local.specs)
    assert model.config == local.config
    asked = [row for row in s3.log if "model.safetensors" in row[1]]
    assert len(asked) == 1
    assert asked[0][2].startswith("bytes=0-")


@pytest.mark.parametrize(("method", "options"), [("linear", {}), ("ties", {"density": 0.5}), ("slerp", {"t": 0.3})])
def test_bits_are_those_of_the_same_merge_from_local_files(
    s3: Proxy, zoo: Zoo, upload: Upload, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    here = zoo(experts=2, dtype=np.float32)
    there = {name: upload(folder) for name, folder in here.items()}
    base = None if method == "linear" else "base"
    models = ["e0"] if method == "slerp" else ["e0", "e1"]
    one, two = (
        app.merge(merged(method, [str(where[m]) for m in models], base and str(where[base]), **options), tmp_path / out)
        for where, out in ((here, "local"), (there, "remote"))
    )
    assert one.digest == two.digest
    assert one.bytes_read == two.bytes_read


def test_a_sharded_model_on_the_web_is_found_without_a_listing(
    zoo: Zoo, web: Callable[..., str], tmp_path: Path
) -> None:
    folder = zoo(experts=0)["base"]
    whole = app.merge(replace(recipe("linear", [folder]), output=Output(shard_bytes=10_000)), tmp_path / "sharded").out
    address = web(Path(whole))
    assert len(list(Path(whole).glob("*.safetensors"))) > 2
    assert app.diff(address, folder)["equal"]
    assert open_checkpoint(address).config == open_checkpoint(whole).config
    assert verify(address)["ok"]


def test_one_file_on_the_web(zoo: Zoo, web: Callable[..., str]) -> None:
    folder = zoo(experts=0)["base"]
    address = f"{web(folder)}/model.safetensors"
    assert app.diff(address, folder / "model.safetensors")["equal"]
    assert app.inspect(address, digests=True)["table"] == app.inspect(folder, digests=True)["table"]


def test_a_server_without_ranges_is_refused(zoo: Zoo, web: Callable[..., str]) -> None:
    with pytest.raises(CheckpointError, match="does not send parts of files"):
        open_checkpoint(web(zoo(experts=0)["base"], with_ranges=False))


def test_a_model_in_anything_that_fsspec_knows(zoo: Zoo, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    here = zoo(experts=2)
    files = fsspec.filesystem("memory")
    for name, folder in here.items():
        files.put(str(folder), f"/bucket/{name}", recursive=True)
    local = app.merge(merged("ties", [str(here["e0"]), str(here["e1"])], str(here["base"])), tmp_path / "a")
    models = ["memory://bucket/e0", "memory://bucket/e1"]
    there = app.merge(merged("ties", models, "memory://bucket/base"), tmp_path / "b")
    assert there.digest == local.digest
    model = open_checkpoint(models[0])
    files.pipe("/bucket/e0/model.safetensors", files.cat("/bucket/e0/model.safetensors"))
    with FileReader() as reader, pytest.raises(SourceChanged, match=r"changed while it was in use"):
        next(iter(model.table.values())).read(reader, 0, 4)
    with pytest.raises(NotFound):
        open_checkpoint("memory://bucket/none")
    with pytest.raises(CheckpointError, match="Nobody knows this kind of address"):
        open_checkpoint("gopher://bucket/none")


def test_the_hub_is_read_by_ranges_at_one_commit(
    zoo: Zoo, web: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    folder, commit = zoo(experts=0)["base"], "c" * 40
    root = tmp_path / "hub"
    (root / "org" / "name" / "resolve").mkdir(parents=True)
    (root / "org" / "name" / "resolve" / commit).symlink_to(folder)
    rows = [{"rfilename": p.name, "size": p.stat().st_size, "blobId": p.name} for p in sorted(folder.iterdir())]
    info = root / "api" / "models" / "org" / "name" / "revision"
    info.mkdir(parents=True)
    (info / "v2").write_text(json.dumps({"id": "org/name", "sha": commit, "siblings": rows}))
    (info / commit).write_text((info / "v2").read_text())
    endpoint = web(root)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    model = open_checkpoint("hf://org/name@v2")
    assert all(commit in source.path for source in model.table.values())  # type: ignore[attr-defined]
    assert app.diff("hf://org/name@v2", folder)["equal"]
    assert str(model.ref) == "hf://org/name@v2"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFound, match="working offline"):
        open_checkpoint("hf://org/name@v2")


def test_requests_are_joined_and_nothing_else_is_fetched(s3: Proxy, zoo: Zoo, upload: Upload, tmp_path: Path) -> None:
    here = zoo(experts=2, layers=8)
    models = [upload(here["e0"]), upload(here["e1"])]
    report = app.merge(merged("linear", models, None), tmp_path / "out", threads=2)
    bodies = [row for row in s3.log if "model.safetensors" in row[1]]
    tensors = len(open_checkpoint(here["e0"]).table)
    assert len(bodies) < tensors  # two models of so many tensors, headers included
    assert report.bytes_read == sum(open_checkpoint(here[name]).nbytes for name in ("e0", "e1"))


def test_an_adapter_at_an_address_is_applied(s3: Proxy, zoo: Zoo, upload: Upload, tmp_path: Path) -> None:
    folder, rng = zoo(experts=0)["base"], np.random.default_rng(0)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    factors = {name.format("A"): rng.standard_normal((2, 16)), name.format("B"): rng.standard_normal((16, 2))}
    save_file({key: value.astype(np.float32) for key, value in factors.items()}, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    remote = f"{upload(folder)}+{upload(adapter)}"
    assert app.diff(remote, f"{folder}+{adapter}")["equal"]
    assert not app.diff(remote, folder)["equal"]


def test_the_plan_says_what_will_be_downloaded(s3: Proxy, zoo: Zoo, upload: Upload) -> None:
    here = zoo(experts=1)
    address = upload(here["e0"])
    asked = [sys.executable, "-m", "solera.cli", "plan", address, str(here["base"])]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    size = sum((here["e0"] / name).stat().st_size for name in ("model.safetensors", "config.json"))
    assert f"{address} will be downloaded: {size / 1000:.1f}" in said.stderr
    assert "network  " in said.stdout
    assert address in said.stdout


def test_without_the_extra_it_is_named(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.store", "fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    for address in ("s3://bucket/model", "https://host/model", "memory://model"):
        with pytest.raises(MissingExtra) as caught:
            open_checkpoint(address)
        assert caught.value.fault.fix == 'pip install "solera[remote]"'
    with pytest.raises(MissingExtra):
        app.merge(merged("linear", [str(zoo(experts=0)["base"])], None), "s3://bucket/model")


def test_a_reader_holds_no_more_than_it_may(s3: Proxy, zoo: Zoo, upload: Upload) -> None:
    model = open_checkpoint(upload(zoo(experts=0)["base"]))
    spans = [(s.path, s.offset, s.offset + s.spec.nbytes) for s in model.table.values()]  # type: ignore[attr-defined]
    reader = RemoteReader(ahead=4000, connections=2)
    monkey_longest = 1000
    with reader._lock:
        reader._schedule = scheduled([[span] for span in spans], monkey_longest)
    most = 0
    for path, start, stop in spans:
        reader.pread(path, start, stop - start)
        most = max(most, reader._live)
    assert most <= 4000 + 2 * monkey_longest
    assert reader.bytes_read == model.nbytes
    reader.close()


@pytest.mark.parametrize("seed", range(5))
def test_any_reads_in_any_order_give_the_bytes_of_the_object(s3: Proxy, zoo: Zoo, upload: Upload, seed: int) -> None:
    folder = zoo(experts=0)["base"]
    whole = (folder / "model.safetensors").read_bytes()
    source = next(iter(open_checkpoint(upload(folder)).table.values()))
    path, rng = source.path, np.random.default_rng(seed)  # type: ignore[attr-defined]
    reader = RemoteReader(ahead=20_000, connections=3)
    if seed % 2:
        reader.announce([[(path, int(a), int(a) + 3000)] for a in rng.integers(0, len(whole) - 3000, 6)])
    for _ in range(12):
        start = int(rng.integers(0, len(whole)))
        count = int(rng.integers(0, min(9000, len(whole) - start) + 1))
        assert reader.pread(path, start, count).tobytes() == whole[start : start + count]
    with pytest.raises(CorruptFile, match="ends early"):
        reader.pread(path, len(whole) - 3, 4)
    reader.close()


@pytest.mark.parametrize("exact", [False, True])
def test_reading_on_fetches_more_unless_every_byte_counts(s3: Proxy, zoo: Zoo, upload: Upload, exact: bool) -> None:
    source = next(iter(open_checkpoint(upload(zoo(experts=0)["base"])).table.values()))
    with FileReader() as reader:
        if exact:
            reader.exactly()
        for start in range(0, 6000, 500):
            reader.pread(source.path, start, 500)  # type: ignore[attr-defined]
        assert (reader.bytes_read == 6000) is exact
        assert reader.bytes_read < 3 * 6000
