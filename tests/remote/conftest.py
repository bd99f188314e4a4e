"""A real S3-speaking server in its own process, a faulty proxy before it, a web server with ranges."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

for _library in ("obstore", "fsspec", "moto", "flask"):
    pytest.importorskip(_library)

from tests.remote.faulty_proxy import Proxy, start_proxy  # noqa: E402

BUCKET = "models"
KEY, SECRET = "AKIATESTTESTTESTTEST", "secretsecretsecretsecret/SECRET+secret"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, int]]:
    """moto's server: (host, port). It has a process of its own, as a server has."""
    script = Path(__file__).with_name("s3_process.py")
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    with subprocess.Popen([sys.executable, script], stdin=-1, stdout=-1, stderr=-3, text=True, env=kept) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield "127.0.0.1", int(server.stdout.readline())
        server.stdin.close()
        server.wait(10)


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no proxies, no cache of this machine's user; little patience."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOLERA_REMOTE_WAIT", "0.01")
    monkeypatch.setenv("SOLERA_REMOTE_TIMEOUT", "5")


@pytest.fixture
def s3(s3_server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """S3 behind a proxy that can be told to fail; the environment names it, with dummy credentials."""
    proxy = start_proxy(*s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()


@pytest.fixture(scope="session")
def client(s3_server: tuple[str, int]) -> Any:
    """Amazon's own client, past the proxy: what looks at the server independently of the code under test."""
    import boto3

    made = boto3.client(
        "s3", endpoint_url=f"http://{s3_server[0]}:{s3_server[1]}", region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="y",
    )  # fmt: skip
    made.create_bucket(Bucket=BUCKET)
    return made


_numbers = itertools.count()


@pytest.fixture
def upload(client: Any) -> Callable[..., str]:
    """Put a folder under a new prefix: its address."""

    def put(folder: Path, name: str = "") -> str:
        prefix = name or f"{folder.name}-{next(_numbers)}"
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            client.put_object(
                Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes()
            )
        return f"s3://{BUCKET}/{prefix}"

    return put


class RangeHandler(SimpleHTTPRequestHandler):
    """Files of a folder with ETags and ranges, as web servers give them."""

    protocol_version = "HTTP/1.1"
    with_ranges, password = True, ""
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        """Answer 200, 206, 401, 404, 412 or 416."""
        type(self).seen.append((self.path, self.headers.get("Authorization", "")))
        path = Path(self.translate_path(self.path))
        if self.password and self.password not in self.headers.get("Authorization", "") + self.path:
            self._short(401)
            return
        if not path.is_file():
            self._short(404)
            return
        data = path.read_bytes()
        tag = f'"{hash(data):x}"'
        if self.headers.get("If-Match", tag) != tag:
            self._short(412)
            return
        self._send(data, tag)

    def _send(self, data: bytes, tag: str) -> None:
        asked = self.headers.get("Range") if self.with_ranges else None
        first, last = 0, len(data) - 1
        if asked:
            low, _, high = asked.removeprefix("bytes=").partition("-")
            first, last = int(low), min(int(high), last)
        if asked and first >= len(data):
            self._short(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("ETag", tag)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def _short(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be silent."""


@pytest.fixture
def web() -> Iterator[Callable[..., str]]:
    """Serve a folder: `web(folder, with_ranges=True, password="")` gives its address."""
    started: list[ThreadingHTTPServer] = []

    def serve(folder: Path, **options: Any) -> str:
        handler = type("Handler", (RangeHandler,), {"seen": [], **options})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in started:
        server.shutdown()
        server.server_close()
