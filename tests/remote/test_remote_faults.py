"""Servers that fail, objects that change, credentials that lack: repeated, or said clearly; secrets never told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.remote.conftest import BUCKET, KEY, SECRET
from tests.remote.faulty_proxy import Fault, Proxy

from solera import app
from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.remote.address import hidden_in
from solera.errors import CheckpointError, NotFound, SourceChanged
from solera.recipe import parse

Zoo = Callable[..., dict[str, Path]]
Upload = Callable[..., str]
WEIGHTS = "model.safetensors"


def read_all(address: str) -> int:
    """Read every tensor."""
    model = open_checkpoint(address)
    with FileReader() as reader:
        return sum(source.read(reader, 0, source.spec.numel).numel() for source in model.table.values())


@pytest.fixture
def model(zoo: Zoo, upload: Upload) -> str:
    """A model on S3."""
    return upload(zoo(experts=0)["base"])


@pytest.mark.parametrize("kind", ["error", "cut", "short"])
def test_what_may_pass_is_asked_for_again(s3: Proxy, model: str, kind: Any) -> None:
    quiet = read_all(model)
    asked = len(s3.log)
    s3.faults = [Fault(kind, path=WEIGHTS, after=after, times=2) for after in (0, 5)]
    s3.faults.append(Fault("error", path="list-type=2"))
    assert read_all(model) == quiet
    assert len(s3.log) == 2 * asked + 4  # the config is in the cache


def test_a_server_that_never_answers_in_time(s3: Proxy, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLERA_REMOTE_TIMEOUT", "1")
    monkeypatch.setenv("SOLERA_REMOTE_ATTEMPTS", "2")
    s3.faults = [Fault("slow", path=WEIGHTS, times=9, seconds=1.5)]
    with pytest.raises(CheckpointError, match="does not deliver") as caught:
        open_checkpoint(model)
    assert caught.value.fault.where == f"{model}/{WEIGHTS}"
    assert "no answer in time (2 attempts)" in caught.value.fault.got


def test_a_server_that_always_fails_is_given_up(s3: Proxy, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLERA_REMOTE_ATTEMPTS", "3")
    s3.faults = [Fault("error", path=WEIGHTS, times=99)]
    with pytest.raises(CheckpointError, match="503 Service Unavailable"):
        open_checkpoint(model)
    assert len([row for row in s3.log if WEIGHTS in row[1]]) == 3


@pytest.mark.parametrize("become", ["other", "longer", "gone"])
def test_an_object_that_changes_under_a_run_is_named(
    s3: Proxy, model: str, client: Any, tmp_path: Path, become: str
) -> None:
    key = f"{model.removeprefix(f's3://{BUCKET}/')}/{WEIGHTS}"
    whole = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def change() -> None:
        if become == "gone":
            client.delete_object(Bucket=BUCKET, Key=key)
        else:
            changed = whole + b"x" if become == "longer" else whole[:-1] + bytes([whole[-1] ^ 1])
            client.put_object(Bucket=BUCKET, Key=key, Body=changed)

    s3.faults = [Fault("call", path=WEIGHTS, after=1, call=change)]
    recipe = parse(f"{{method: linear, models: ['{model}']}}")
    with pytest.raises(SourceChanged, match="remote object changed") as caught:
        app.merge(recipe, tmp_path / "out")
    assert caught.value.fault.where == f"{model}/{WEIGHTS}"
    assert not (tmp_path / "out").exists()


def test_a_change_between_listing_and_header_is_seen(s3: Proxy, model: str, client: Any) -> None:
    key = f"{model.removeprefix(f's3://{BUCKET}/')}/{WEIGHTS}"
    whole = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    change = lambda: client.put_object(Bucket=BUCKET, Key=key, Body=whole[:-1] + bytes([whole[-1] ^ 1]))  # noqa: E731
    s3.faults = [Fault("call", path=WEIGHTS, call=change)]
    with pytest.raises(SourceChanged, match="another object is there now"):
        open_checkpoint(model)


def test_the_weak_id_follows_the_etag(s3: Proxy, model: str, client: Any) -> None:
    key = f"{model.removeprefix(f's3://{BUCKET}/')}/{WEIGHTS}"
    before = open_checkpoint(model).weak_id
    assert open_checkpoint(model).weak_id == before
    whole = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    client.put_object(Bucket=BUCKET, Key=key, Body=whole[:-1] + bytes([whole[-1] ^ 1]))
    assert open_checkpoint(model).weak_id != before


def test_nothing_is_there(s3: Proxy, client: Any) -> None:
    for address in (f"s3://{BUCKET}/none", "s3://nobodys-bucket/none"):
        with pytest.raises(NotFound):
            open_checkpoint(address)


def test_no_credentials(s3: Proxy, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="no credentials") as caught:
        open_checkpoint(model)
    assert "AWS_ACCESS_KEY_ID" in caught.value.fault.fix


def test_credentials_that_are_refused_are_not_told(s3: Proxy, model: str) -> None:
    s3.faults = [Fault("status", times=99, status=403)]
    with pytest.raises(CheckpointError, match="does not give access") as caught:
        open_checkpoint(model)
    assert caught.value.fault.got == "403 Forbidden"
    assert len(s3.log) == 1
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_credentials_of_a_profile(s3: Proxy, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    home = tmp_path / "home" / ".aws"
    home.mkdir(parents=True)
    (home / "credentials").write_text(f"[team]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert read_all(model) > 0


def secrets_in(folder: Path, *secrets: str) -> list[str]:
    """Files that hold one of some texts, in any folder below."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files for secret in secrets if secret.encode() in path.read_bytes()]


def test_no_secret_is_stored_by_a_merge(
    s3: Proxy, model: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("SOLERA_CATALOG", str(tmp_path / "catalog.sqlite"))
    told: list[str] = []
    recipe = parse(f"{{method: linear, models: ['{model}']}}")
    app.merge(recipe, tmp_path / "out", on_event=lambda event: told.append(f"{event}"))
    report = app.merge(recipe, f"s3://{BUCKET}/clean", on_event=lambda event: told.append(f"{event}"))
    assert (tmp_path / "catalog.sqlite").stat().st_size > 0
    assert not secrets_in(tmp_path, KEY, SECRET)
    assert not any(secret in text for text in (*told, json.dumps(report.to_json())) for secret in (KEY, SECRET))
    for row in client.list_objects_v2(Bucket=BUCKET, Prefix="clean/")["Contents"]:
        data = client.get_object(Bucket=BUCKET, Key=row["Key"])["Body"].read()
        assert KEY.encode() not in data
        assert SECRET.encode() not in data


@pytest.mark.parametrize("text", ["{path: '%s'}", "'%s'"])
def test_secrets_of_an_address_are_used_and_never_stored(
    zoo: Zoo, web: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("SOLERA_CATALOG", str(tmp_path / "catalog.sqlite"))
    plain = web(zoo(experts=0)["base"], password="token=abcDEF123")
    address = f"{plain}/{WEIGHTS}?token=abcDEF123&rev=2"
    out, told = tmp_path / "merged" / "out", []
    with pytest.raises(CheckpointError, match="signatures are never stored"):
        open_checkpoint(f"{plain}/{WEIGHTS}?rev=2")
    recipe = parse(f"merge_method: linear\nmodels:\n  - model: {text % address}\n    parameters: {{weight: 1.0}}\n")
    app.merge(recipe, out, on_event=lambda event: told.append(str(event)))
    assert not secrets_in(tmp_path / "merged", "abcDEF123")
    assert not secrets_in(tmp_path, "abcDEF123")
    assert "abcDEF123" not in recipe.text + repr(recipe) + "".join(told)
    assert "rev=2" in recipe.text
    assert hidden_in(f"see {address}") == f"see {plain}/{WEIGHTS}?rev=2"


def test_a_password_goes_along_as_a_header(zoo: Zoo, web: Callable[..., str]) -> None:
    plain = web(zoo(experts=0)["base"], password="Basic YW5uOnAvdw==")
    with pytest.raises(CheckpointError, match="does not give access"):
        open_checkpoint(plain)
    assert read_all(plain.replace("://", "://ann:p%2Fw@")) > 0
