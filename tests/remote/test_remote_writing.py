"""Merges into an object store: the whole model or none, one writer, resume, force."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import recipe
from tests.remote.conftest import BUCKET
from tests.remote.faulty_proxy import Fault, Proxy

from solera import app
from solera.app.uploading_target import CLAIM
from solera.app.verify import verify
from solera.checkpoints import open_checkpoint
from solera.checkpoints.remote.listing import INDEX
from solera.errors import BadParameter, CheckpointError, NotFound, TargetInUse
from solera.recipe.values import Output, Recipe

Zoo = Callable[..., dict[str, Path]]
SHARD = 8_000
"""Bytes of a shard: several of the tiny model."""


def sharded(made: Recipe) -> Recipe:
    from dataclasses import replace

    return replace(made, output=Output(shard_bytes=SHARD))


@pytest.fixture
def plan_of(zoo: Zoo) -> Callable[..., Recipe]:
    """A recipe over two local models, with several shards."""
    here = zoo(experts=2)
    return lambda weight=0.5: sharded(recipe("linear", [here["e0"], here["e1"]], weight=weight))


def names(client: Any, prefix: str) -> set[str]:
    """What lies under a prefix."""
    rows = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    return {row["Key"].removeprefix(f"{prefix}/") for row in rows}


def test_a_model_appears_whole_with_the_bits_of_a_local_merge(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe], tmp_path: Path
) -> None:
    there = app.merge(plan_of(), f"s3://{BUCKET}/whole")
    here = app.merge(plan_of(), tmp_path / "here")
    assert there.digest == here.digest
    assert app.diff(f"s3://{BUCKET}/whole", tmp_path / "here")["equal"]
    assert verify(f"s3://{BUCKET}/whole")["ok"]
    found = names(client, "whole")
    assert {INDEX, "config.json", "solera.json", "solera_recipe.yaml"} < found
    assert CLAIM not in found
    order = [path.rpartition("/")[2] for method, path, _ in s3.log if method == "PUT"]
    assert order[0] == CLAIM
    assert order[-1] == INDEX
    assert not list((tmp_path / "cache" / "uploads").iterdir())


def test_nobody_sees_a_model_before_its_pointer(s3: Proxy, client: Any, plan_of: Callable[..., Recipe]) -> None:
    seen: list[str] = []

    def look() -> None:
        try:
            open_checkpoint(f"s3://{BUCKET}/unseen")
            seen.append("a model")
        except NotFound as error:
            seen.append(error.fault.what)

    s3.faults = [Fault("call", path="unseen/model-", method="PUT", times=99, call=look)]
    s3.faults += [Fault("call", path=f"unseen/{INDEX}", method="PUT", times=99, call=look)]
    app.merge(plan_of(), f"s3://{BUCKET}/unseen")
    assert len(seen) > 3
    assert "a model" not in seen
    assert "The model is not complete." in seen


def test_few_shards_are_on_this_disk_at_once(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe], tmp_path: Path
) -> None:
    counts: list[int] = []

    def count() -> None:
        counts.append(len(list((tmp_path / "cache" / "uploads").rglob("model-*.safetensors"))))

    s3.faults = [Fault("call", path="few/model-", method="PUT", times=99, call=count)]
    app.merge(plan_of(), f"s3://{BUCKET}/few", threads=4)
    assert len(counts) > 4
    assert max(counts) <= 2


def test_a_target_with_a_model_is_refused_and_replaced_by_force(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe], tmp_path: Path
) -> None:
    address = f"s3://{BUCKET}/twice"
    app.merge(plan_of(), address)
    client.put_object(Bucket=BUCKET, Key="twice/notes/mine.txt", Body=b"mine")
    client.put_object(Bucket=BUCKET, Key="twice/added_tokens.json", Body=b"{}")
    old = names(client, "twice")
    with pytest.raises(TargetInUse, match="not empty"):
        app.merge(plan_of(0.3), address)
    assert names(client, "twice") == old
    report = app.merge(plan_of(0.3), address, force=True)
    here = app.merge(plan_of(0.3), tmp_path / "here")
    assert verify(address)["ok"]
    assert report.digest == here.digest
    found = names(client, "twice")
    assert not {name for name in old if name.startswith("model-")} & found
    assert "notes/mine.txt" in found
    assert "added_tokens.json" not in found
    assert any("notes/mine.txt" in warning for warning in report.warnings)


def test_a_model_that_was_one_plain_file_is_replaced_too(
    s3: Proxy, client: Any, zoo: Zoo, upload: Callable[..., str], plan_of: Callable[..., Recipe]
) -> None:
    address = upload(zoo(experts=0)["base"])
    report = app.merge(plan_of(), address, force=True)
    assert verify(address)["ok"]
    assert app.inspect(address)["tensors"] == sum(report.tensors.values())
    assert "model.safetensors" not in names(client, address.rpartition("/")[2])


def test_a_second_writer_is_refused_while_the_first_works(s3: Proxy, plan_of: Callable[..., Recipe]) -> None:
    address, said = f"s3://{BUCKET}/rivals", []

    def rival() -> None:
        from solera.app.uploading_target import Prefix, claim

        try:
            claim(Prefix.at(address), "0badcafe", {"host": "elsewhere"}, force=False)
        except TargetInUse as error:
            said.append(str(error))

    s3.faults = [Fault("call", path="rivals/model-", method="PUT", call=rival)]
    app.merge(plan_of(), address)
    assert len(said) == 1
    assert "another run is writing this target" in said[0]
    assert verify(address)["ok"]


def test_a_writer_whose_claim_was_taken_by_force_publishes_nothing(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe]
) -> None:
    def take() -> None:
        client.put_object(Bucket=BUCKET, Key=f"taken/{CLAIM}", Body=json.dumps({"run": "0badcafe"}).encode())

    s3.faults = [Fault("call", path="taken/model-", method="PUT", call=take)]
    with pytest.raises(TargetInUse, match="another run has taken this target"):
        app.merge(plan_of(), f"s3://{BUCKET}/taken")
    assert names(client, "taken") == {CLAIM}


def test_the_pointer_is_only_written_where_there_is_none(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe]
) -> None:
    def first() -> None:
        client.put_object(Bucket=BUCKET, Key=f"late/{INDEX}", Body=b'{"weight_map": {}}')

    s3.faults = [Fault("call", path=f"late/{INDEX}", method="PUT", call=first)]
    with pytest.raises(TargetInUse, match="another run has taken this target"):
        app.merge(plan_of(), f"s3://{BUCKET}/late")
    assert client.get_object(Bucket=BUCKET, Key=f"late/{INDEX}")["Body"].read() == b'{"weight_map": {}}'


def test_a_pointer_whose_answer_was_lost_is_recognised(s3: Proxy, plan_of: Callable[..., Recipe]) -> None:
    s3.faults = [Fault("short", path=f"lost/{INDEX}", method="PUT"), Fault("cut", path=f"lost/{CLAIM}", method="PUT")]
    app.merge(plan_of(), f"s3://{BUCKET}/lost")
    assert verify(f"s3://{BUCKET}/lost")["ok"]


@pytest.mark.parametrize("kind", ["error", "cut"])
def test_uploads_are_repeated(s3: Proxy, plan_of: Callable[..., Recipe], kind: Any) -> None:
    s3.faults = [Fault(kind, path=f"again-{kind}/", method="PUT", after=2, times=2)]
    app.merge(plan_of(), f"s3://{BUCKET}/again-{kind}")
    assert verify(f"s3://{BUCKET}/again-{kind}")["ok"]


def test_a_failed_upload_is_resumed_without_making_shards_again(
    s3: Proxy, client: Any, plan_of: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://{BUCKET}/resumed"
    monkeypatch.setenv("SOLERA_REMOTE_ATTEMPTS", "2")
    s3.faults = [Fault("error", path="-00003-of-", method="PUT", times=999)]
    with pytest.raises(CheckpointError, match="does not deliver"):
        app.merge(plan_of(), address)
    assert INDEX not in names(client, "resumed")
    arrived = {name for name in names(client, "resumed") if name.startswith("model-")}
    assert arrived
    s3.faults, s3.log = [], []
    report = app.merge(plan_of(), address, resume=True)
    sent = {path.rpartition("/")[2].partition("?")[0] for method, path, _ in s3.log if method == "PUT"}
    assert not sent & arrived
    assert report.chunks_resumed > 0
    assert verify(address)["ok"]
    assert report.digest == app.merge(plan_of(), tmp_path / "here").digest
    again = app.merge(plan_of(), address, resume=True)
    assert (again.bytes_read, again.digest) == (0, report.digest)


def test_a_run_killed_in_the_middle_is_resumed(
    s3: Proxy, client: Any, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = zoo(experts=2)
    text = f"method: linear\nmodels:\n  - {here['e0']}\n  - {here['e1']}\noutput: {{shard: {SHARD}}}\n"
    (tmp_path / "recipe.yaml").write_text(text)
    words = [sys.executable, "-m", "solera.cli", "merge", str(tmp_path / "recipe.yaml"), f"s3://{BUCKET}/killed"]
    killed: list[subprocess.Popen[bytes]] = []
    s3.faults = [Fault("call", path="-00004-of-", method="PUT", call=lambda: killed[0].send_signal(signal.SIGKILL))]
    with subprocess.Popen(words, stderr=-3, stdout=-3) as process:
        killed.append(process)
        assert process.wait(60) == -signal.SIGKILL
    before = names(client, "killed")
    assert INDEX not in before
    refused = subprocess.run(
        words, check=False, capture_output=True, text=True, env={**os.environ, "SOLERA_CACHE": str(tmp_path / "other")}
    )
    assert refused.returncode == 5
    assert "another run is writing this target" in refused.stderr
    done = subprocess.run([*words, "--resume", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["chunks_resumed"] > 0
    assert verify(f"s3://{BUCKET}/killed")["ok"]
    assert {name for name in before if name.startswith("model-")} <= names(client, "killed")


def test_the_target_is_none_of_the_inputs_and_a_store_that_keeps_conditions(
    s3: Proxy, zoo: Zoo, upload: Callable[..., str]
) -> None:
    address = upload(zoo(experts=0)["base"])
    with pytest.raises(TargetInUse, match="is an input"):
        app.merge(recipe("linear", [open_checkpoint(address).ref]), address, force=True)
    for other in ("https://host/model", "hf://org/name", "memory://model"):
        with pytest.raises(BadParameter, match="not written there"):
            app.merge(recipe("linear", [open_checkpoint(address).ref]), other)
    with pytest.raises(BadParameter, match="cluster"):
        app.merge(recipe("linear", [open_checkpoint(address).ref]), f"s3://{BUCKET}/ray", backend="ray")


def test_a_bucket_that_is_not_there(s3: Proxy, plan_of: Callable[..., Recipe]) -> None:
    with pytest.raises(NotFound, match="no such bucket"):
        app.merge(plan_of(), "s3://nobodys-bucket/model")
