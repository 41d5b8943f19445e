"""Downloading from a server on this machine that can be made to misbehave."""

import contextlib
import hashlib
import itertools
import logging
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ehrsynth import datasets
from ehrsynth.errors import InputError
from ehrsynth.sources import fetch as fetching
from ehrsynth.sources.fetch import FOLDER_VARIABLE, URL_VARIABLE, registry
from ehrsynth.sources.fetch import fetch as fetch_data

DEMO_FILE = "hosp/d_icd_diagnoses.csv.gz"  # the largest


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and stops early when told to."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        data = path.read_bytes()
        self.server.asked.append(self.path.lstrip("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.server.stop_after is not None and len(data) > self.server.stop_after:
            data = data[: self.server.stop_after]
            self.close_connection = True
        self.wfile.write(data)


@pytest.fixture
def serve():
    """Start a server of a folder; gives the server, whose ``url`` is its address."""
    servers = []

    def start(folder):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        server.asked, server.stop_after = [], None
        server.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def demo(shared_data, serve):
    return serve(shared_data / "mimic-iv-demo-2.2")


@pytest.fixture
def archive(shared_data, tmp_path):
    """A folder with Diabetes-130 as its publisher serves it: one zip file."""
    entry = registry()["diabetes130"]
    (tmp_path / "site").mkdir()
    with zipfile.ZipFile(tmp_path / "site" / entry["archive"], "w") as packed:
        for file in entry["files"]:
            packed.write(shared_data / "diabetes130" / file, file)
    return tmp_path / "site"


def test_the_demo_is_fetched_and_read(demo, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="ehrsynth"):
        folder = fetch_data("mimic-iv-demo", data_dir=tmp_path, base_url=demo.url)
    assert folder == tmp_path
    assert "Open Database License" in caplog.text and "Please cite: Johnson" in caplog.text
    for file, sha256 in registry()["mimic-iv-demo"]["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == sha256
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(
        registry()["mimic-iv-demo"]["files"]
    )
    assert len(datasets.load("mimic-iv-demo", data=folder)["patients"]) == 100


def test_what_is_there_is_not_fetched_again(demo, tmp_path):
    fetch_data("mimic-iv-demo", tmp_path, demo.url)
    (tmp_path / "hosp/omr.csv.gz").unlink()
    (tmp_path / "hosp/patients.csv.gz").write_bytes(b"spoiled")
    demo.asked.clear()
    fetch_data("mimic-iv-demo", tmp_path, demo.url)
    assert set(demo.asked) == {"hosp/omr.csv.gz", "hosp/patients.csv.gz"}


def test_an_interrupted_file_leaves_nothing_half_written(demo, tmp_path):
    demo.stop_after = 300_000
    with pytest.raises(InputError, match="'ehrsynth fetch mimic-iv-demo' again, what is there"):
        fetch_data("mimic-iv-demo", tmp_path, demo.url)
    there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert DEMO_FILE not in there and "LICENSE.txt" in there
    hashes = registry()["mimic-iv-demo"]["files"]
    for file in there:
        assert hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() == hashes[file]
    demo.stop_after = None
    demo.asked.clear()
    fetch_data("mimic-iv-demo", tmp_path, demo.url)
    assert set(demo.asked) == set(hashes) - there


def test_what_a_killed_download_left_goes_with_the_next(demo, tmp_path):
    half = (tmp_path / DEMO_FILE).with_name(f".{Path(DEMO_FILE).name}.0123abcd.part")
    half.parent.mkdir()
    half.write_bytes(b"half")
    fetch_data("mimic-iv-demo", tmp_path, demo.url)
    there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert there == set(registry()["mimic-iv-demo"]["files"])


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_download_of_an_archive_leaves_nothing(archive, serve, tmp_path):
    """Neither among the data nor, after the next, in the folder for temporary files."""
    server, places = serve(archive), tmp_path / "temporary"
    places.mkdir()
    kill = "lambda *_: os.kill(os.getpid(), 9)"
    code = f"import os; from ehrsynth.sources import fetch as f; f._unpack = {kill}; "
    code += f"f.fetch('diabetes130', {str(tmp_path / 'out')!r}, {server.url!r})"
    for what in (code, code.replace("f._unpack", "never")):
        subprocess.run(
            [sys.executable, "-c", what], env=os.environ | {"TMPDIR": str(places)}, check=False
        )
    files = registry()["diabetes130"]["files"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)
    assert not list(places.iterdir())


def test_a_wrong_checksum_is_said_and_nothing_is_left(shared_data, serve, tmp_path):
    site = tmp_path / "site"
    for file in registry()["mimic-iv-demo"]["files"]:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_bytes((shared_data / "mimic-iv-demo-2.2" / file).read_bytes())
    (site / "hosp/patients.csv.gz").write_bytes(b"something else")
    server = serve(site)
    with pytest.raises(InputError, match=r"hosp/patients\.csv\.gz does not have the published"):
        fetch_data("mimic-iv-demo", tmp_path / "out", server.url)
    assert not (tmp_path / "out/hosp/patients.csv.gz").exists()
    assert (tmp_path / "out/LICENSE.txt").is_file()  # what was right stays


def test_no_connection_is_said_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"Cannot download http://127.0.0.1:9/LICENSE.txt \(no"):
        fetch_data("mimic-iv-demo", tmp_path, "http://127.0.0.1:9")


def test_a_file_that_is_gone_is_said(serve, tmp_path):
    (tmp_path / "site").mkdir()
    server = serve(tmp_path / "site")
    with pytest.raises(InputError, match="answers 404"):
        fetch_data("mimic-iv-demo", tmp_path / "out", server.url)


def test_the_archive_is_unpacked(archive, serve, tmp_path):
    server = serve(archive)
    folder = fetch_data("diabetes130", tmp_path / "out", server.url)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        registry()["diabetes130"]["files"]
    )
    server.asked.clear()
    fetch_data("diabetes130", tmp_path / "out", server.url)
    assert server.asked == []


def test_an_interrupted_archive_leaves_nothing(archive, serve, tmp_path):
    server = serve(archive)
    server.stop_after = 1_000_000
    with pytest.raises(InputError, match="'ehrsynth fetch diabetes130' again"):
        fetch_data("diabetes130", tmp_path / "out", server.url)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [({"diabetic_data.csv": b"a,b\n"}, "diabetic_data.csv in .* does not have the published"),
     ({"other.csv": b"a,b\n"}, "diabetic_data.csv is not in"), (None, "is not a zip file")],
)  # fmt: skip
def test_an_archive_with_something_else_is_refused(serve, tmp_path, content, reason):
    site = tmp_path / "site"
    site.mkdir()
    path = site / registry()["diabetes130"]["archive"]
    if content is None:
        path.write_bytes(b"not a zip file")
    else:
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in content.items():
                packed.writestr(name, data)
    with pytest.raises(InputError, match=reason):
        fetch_data("diabetes130", tmp_path / "out", serve(site).url)
    assert not list(tmp_path.glob("out/*"))


def test_the_environment_names_mirror_and_folder(demo, tmp_path, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, demo.url)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="mimic-iv-demo is not here yet; run 'ehrsynth fetch"):
        datasets.load("mimic-iv-demo")
    assert fetch_data("mimic-iv-demo") == tmp_path / "mimic-iv-demo"
    assert len(datasets.load("mimic-iv-demo")["patients"]) == 100


def test_a_folder_that_cannot_be_written(demo, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Cannot write .*file"):
        fetch_data("mimic-iv-demo", tmp_path / "file" / "folder", demo.url)


def answering(serve, folder, headers, parts):
    """A server that answers everything with these parts, after these headers."""
    folder.mkdir()
    server = serve(folder)

    def answer(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for part in parts():
                handler.wfile.write(part)
                server.sent += len(part)

    server.sent = 0
    server.RequestHandlerClass = type("Other", (Handler,), {"do_GET": answer})
    return server


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": str(10**12)}, {"Content-Length": "many"}]
)
@pytest.mark.parametrize("name", ["mimic-iv-demo", "diabetes130"])
def test_a_server_that_never_ends_is_left_at_the_known_size(serve, tmp_path, headers, name):
    server = answering(
        serve, tmp_path / "site", headers, lambda: itertools.repeat(b"0" * 2**16, 10_000)
    )
    with pytest.raises(InputError, match="is longer than the .* bytes that it should have"):
        fetch_data(name, tmp_path / "out", server.url)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert server.sent < 2**26


def test_a_server_that_sends_a_byte_at_a_time_is_left(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_PATIENCE", 1)

    def slowly():
        for _ in range(30):
            time.sleep(0.2)
            yield b"0"

    server = answering(serve, tmp_path / "site", {}, slowly)
    before = time.monotonic()
    with pytest.raises(InputError, match="Cannot download .*LICENSE.txt"):
        fetch_data("mimic-iv-demo", tmp_path / "out", server.url)
    assert time.monotonic() - before < 5


def test_a_bomb_is_not_unpacked(serve, tmp_path, monkeypatch):
    """What says that it is larger than the file is known to be is not opened at all."""
    entry = registry()["diabetes130"]
    (tmp_path / "site").mkdir()
    with zipfile.ZipFile(tmp_path / "site" / entry["archive"], "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("diabetic_data.csv", "0" * (entry["sizes"]["diabetic_data.csv"] + 1))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match="diabetic_data.csv in .* does not have the published"):
        fetch_data("diabetes130", tmp_path / "out", serve(tmp_path / "site").url)
    assert not list(tmp_path.glob("out/*"))


def test_the_registry_knows_the_size_of_every_file(shared_data):
    for entry in registry().values():
        assert set(entry.get("sizes", {})) == set(entry.get("files", {}))
    for file, size in registry()["mimic-iv-demo"]["sizes"].items():
        assert (shared_data / "mimic-iv-demo-2.2" / file).stat().st_size == size


def test_credentialed_data_is_explained():
    with pytest.raises(InputError, match="mimic-iv is for credentialed users.*physionet.org"):
        fetch_data("mimic-iv")
    with pytest.raises(InputError, match="mimic-iv is for credentialed users"):
        datasets.load("mimic-iv")


@pytest.mark.parametrize("name", ["simulated", "table", "nonsense"])
def test_nothing_to_fetch(name):
    with pytest.raises(InputError, match=f"nothing to download for '{name}'; use mimic-iv-demo or"):
        fetch_data(name)


def test_the_registry_names_license_and_attribution():
    for entry in registry().values():
        assert {"title", "license", "license_url", "attribution", "url"} <= set(entry)
        for sha256 in entry.get("files", {}).values():
            assert re.fullmatch(r"[0-9a-f]{64}", sha256)
