"""Web servers that mean no good: one sentence, soon, in little memory, and nothing is left."""

import gzip
import hashlib
import itertools
import socket
import threading
import time
import tracemalloc
import zipfile

import pytest

from ehrsynth.errors import InputError
from ehrsynth.sources import fetch as fetching
from ehrsynth.sources.fetch import fetch, registry

BLOCK = b"0" * 2**16


@pytest.fixture
def serve():
    """A server that answers everything with these parts; how many bytes it could send."""
    open_ones = []

    def start(parts):
        server, sent = socket.create_server(("127.0.0.1", 0)), [0]
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        open_ones.append(server)

        def answer(asked):
            with asked:
                asked.recv(2**16)
                for part in parts:
                    asked.sendall(part.replace(b"URL", url.encode()))
                    sent[0] += len(part)
                asked.shutdown(socket.SHUT_WR)
                asked.recv(2**16)

        def accept():
            while True:
                try:
                    asked, _ = server.accept()
                    answer(asked)
                except OSError:
                    if server.fileno() < 0:
                        return

        threading.Thread(target=accept, daemon=True).start()
        return url, sent

    yield start
    for server in open_ones:
        server.close()


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def endless(first):
    return lambda: itertools.chain([first], itertools.repeat(BLOCK, 20_000))


def once(*parts):
    return lambda: parts


def leads_to(address, *lines):
    return head(f"Location: {address}", *lines, status="302 Found")


def slowly(first):
    def parts():
        yield first
        for _ in range(100):
            time.sleep(0.1)
            yield b"0"

    return parts


def packed_three_times():
    """Of a megabyte: what unpacks each time to a thousand times as much is made in no time."""
    layer = gzip.compress(bytes(2**22), 9) * 500
    return gzip.compress(gzip.compress(layer, 9), 9)


CHUNKED = head("Transfer-Encoding: chunked")
SERVERS = {
    "a redirect to itself": once(leads_to("URL/", "Content-Length: 0")),
    "a redirect to a file": once(leads_to("file:///etc/passwd", "Content-Length: 0")),
    "a redirect to no address": once(leads_to("http://[::bad/", "Content-Length: 0")),
    "a redirect with a body without end": endless(leads_to("URL/")),
    "an error with a body without end": endless(head(status="404 Not Found")),
    "an error with a reason of 60 kB": once(head(status="500 " + "x" * 60_000)),
    "a status without end": endless(b"HTTP/1.1 200 "),
    "a header without end": endless(b"HTTP/1.1 200 OK\r\nX: "),
    "a slow header": slowly(b"HTTP/1.1 200 OK\r\nX: "),
    "a slow body": slowly(head()),
    "a chunk's length without end": endless(CHUNKED),
    "a chunk of -1 bytes": endless(CHUNKED + b"-1\r\n"),
    "a chunk of 2^62 bytes": endless(CHUNKED + b"3fffffffffffffff\r\n"),
    "half a chunk": once(CHUNKED + b"ff\r\n0000"),
    "a length that is too long": once(head("Content-Length: 900") + b"abc"),
    "a length that is too short": once(head("Content-Length: 3") + b"abc" * 900),
    "a length of 5,000 digits": endless(head("Content-Length: " + "9" * 5_000)),
    "what unpacks to 2 GB": once(
        head("Content-Encoding: gzip, gzip, gzip"), packed_three_times()
    ),
    "what is not packed as it says": once(
        head("Content-Encoding: gzip", "Content-Length: 3"), b"abc"
    ),
    "nothing": once(b""),
    "another protocol": once(b"SSH-2.0-OpenSSH\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_a_strangers_server(serve, tmp_path, monkeypatch, name):
    monkeypatch.setattr(fetching, "_PATIENCE", 0.5)
    url, sent = serve(SERVERS[name]())
    tracemalloc.start()
    with pytest.raises(InputError) as refused:
        fetch("mimic-iv-demo", tmp_path / "out", url)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = str(refused.value)
    assert f"{url}/LICENSE.txt" in said and "\n" not in said and len(said) < 500
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert most < 2**25 and sent[0] < 2**26


def test_what_is_packed_on_the_way_is_kept_as_it_was_published(serve, tmp_path, monkeypatch):
    """Some servers say of every .gz file that it is packed on the way."""
    content = gzip.compress(b"subject_id\n1\n")
    entry = {**registry()["mimic-iv-demo"], "sizes": {"a.csv.gz": len(content)}}
    entry["files"] = {"a.csv.gz": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(fetching, "registry", lambda: {"mimic-iv-demo": entry})
    url, _ = serve([head("Content-Encoding: gzip", f"Content-Length: {len(content)}") + content])
    fetch("mimic-iv-demo", tmp_path, url)
    assert (tmp_path / "a.csv.gz").read_bytes() == content


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_unpacks_to_no_more_than_it_says(tmp_path, method):
    """Of 64 MB that say they are 5,000 bytes no more than those are looked at."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as packed:
        packed.writestr("a.csv", bytes(2**26))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    about = content.rfind(b"PK\1\2") + 24
    content[about : about + 4] = (5_000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(content))
    tracemalloc.start()
    with pytest.raises(InputError, match="published|not a zip file"):
        fetching._unpack(tmp_path / "a.zip", {"a.csv": "0"}, {"a.csv": 5_000}, tmp_path / "x", "z")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**24 and not list(tmp_path.glob("x/*"))
