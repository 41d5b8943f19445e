"""Download the public data sets of ``registry.json``: license shown, checksums checked."""

import logging
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import cache
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urljoin

from ..errors import InputError
from ..files import NOT_UNZIPPED, atomic_path, check_members, read_json, sha256, temporary_folder
from ..progress import at_work

log = logging.getLogger(__name__)

URL_VARIABLE = "EHRSYNTH_DATA_URL"  # takes the place of the registry's address (a mirror)
FOLDER_VARIABLE = "EHRSYNTH_DATA_DIR"  # where data sets are kept, instead of the user's cache
_PATIENCE, _LEAST = 15, 1_000  # in so many seconds that many bytes have to come
_ADDRESSES = 6  # are asked at most, each where the one before leads


@cache
def registry() -> dict[str, dict]:
    """The public data sets: title, license, attribution, url, and sha256 of every file."""
    return read_json(Path(__file__).with_name("registry.json"))


def _cache_folder(name: str) -> Path:
    import pooch

    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("ehrsynth")) / name


def fetched(name: str) -> Path:
    """The folder with the fetched copy of this data set; how to get one, if there is none."""
    if name not in registry():
        raise InputError(f"Data set {name} needs a file; give it with --data.")
    _refuse_credentialed(name)
    folder = _cache_folder(name)
    if not all((folder / file).is_file() for file in registry()[name]["files"]):
        raise InputError(
            f"{name} is not here yet; run 'ehrsynth fetch {name}', or give its folder with --data."
        )
    return folder


def _refuse_credentialed(name: str) -> None:
    if registry()[name].get("credentialed"):
        raise InputError(
            f"{name} is for credentialed users: take the training and sign the agreement at "
            f"{registry()[name]['url']}, download the hosp folder there, and give its folder "
            f"with --data (the open {name}-demo needs none of this)."
        )


def fetch(
    name: str, data_dir: str | Path | None = None, base_url: str | None = None,
    progress: bool = False,
) -> Path:  # fmt: skip
    """Download what is missing of a public data set, and check it; the folder with its files.

    Parameters
    ----------
    name : {"mimic-iv-demo", "diabetes130"}
        Of its files those that are there and right are kept, and none is ever half-written.
    data_dir, base_url : str or Path, str, optional
        The user's cache folder by default; ``EHRSYNTH_DATA_URL``, else the publisher.
    progress : bool
    """
    if name not in registry():
        public = [key for key, entry in registry().items() if not entry.get("credentialed")]
        raise InputError(f"There is nothing to download for {name!r}; use {' or '.join(public)}.")
    _refuse_credentialed(name)
    entry, folder = registry()[name], Path(data_dir) if data_dir else _cache_folder(name)
    log.info("%s", entry["title"])
    log.info("License: %s, %s", entry["license"], entry["license_url"])
    log.info("Please cite: %s", entry["attribution"])
    url = (base_url or os.environ.get(URL_VARIABLE) or entry["url"]).rstrip("/") + "/"
    files, sizes = entry["files"], entry["sizes"]
    missing = {file: known for file, known in files.items() if not _right(folder / file, known)}
    if "archive" not in entry:
        for file in missing:
            with atomic_path(folder / file) as temporary:
                _download(name, url + file, temporary, sizes[file], progress)
                if not _right(temporary, files[file]):
                    raise _wrong(url + file)
    elif missing:  # no archive is longer than what is in it, and its table of contents
        archive = temporary_folder() / entry["archive"]
        most = sum(sizes.values()) + 2**16
        with atomic_path(archive) as temporary:
            _download(name, url + archive.name, temporary, most, progress)
        _unpack(archive, missing, sizes, folder, url + archive.name)
        archive.unlink()
    return folder


def _download(name: str, address: str, path: Path, most: int, progress: bool) -> None:
    """Save what an address answers, as long as it comes, and is no longer than it may be."""
    ended: list[Exception | None] = []

    def work() -> None:
        try:
            with open(path, "wb", 0) as file:
                for part in _parts(name, address):
                    file.write(part)
                    if file.tell() > most:
                        raise InputError(
                            f"{address} is longer than the {most:,} bytes that it should have; it "
                            "was not kept. Try again later, or download it by hand."
                        )
            ended.append(None)
        except Exception as error:
            ended.append(error)

    # In a thread of its own: what comes a byte at a time is waited for without end.
    threading.Thread(target=work, daemon=True).start()
    before, since = 0, time.monotonic()
    with at_work(f"Downloading {address}", shown=progress):
        while not ended:
            time.sleep(0.05)
            if time.monotonic() - since > _PATIENCE:
                size, since = path.stat().st_size, time.monotonic()
                if size - before < _LEAST:
                    ended.append(_unreachable(name, address))
                before = size
    if ended[0]:
        raise ended[0]


def _parts(name: str, address: str) -> Iterator[bytearray]:
    """What an address answers, as it is sent, in the memory of one part.

    Left to themselves, requests keeps all that comes with a redirect and unpacks what is said to be
    packed, and urllib3 reads the line before a chunk, or a chunk of -1 bytes, to no end.
    """
    import requests

    asked, how = address, {"Accept-Encoding": "identity"}  # the checksums are of what is packed
    try:
        with requests.Session() as session:
            session.get_redirect_target = lambda _: None  # type: ignore[assignment,method-assign]
            for _ in range(_ADDRESSES):
                answer = session.get(asked, timeout=_PATIENCE, headers=how, stream=True)
                asked = urljoin(asked, answer.headers.get("Location", ""))
                if not answer.is_redirect:
                    break
            answer.raise_for_status()
            sent, buffer = answer.raw._original_response, bytearray(2**10)
            while count := sent.readinto(buffer):
                yield buffer[:count]
            if sent.length or answer.is_redirect:
                raise requests.ConnectionError("it ends too soon, or leads on and on")
    except requests.HTTPError as error:
        said = str(error).partition(" for url")[0][:200]
        raise InputError(
            f"{address} answers {said}; the address may have changed, so download it by hand and "
            "give the folder with --data."
        ) from error
    except (OSError, ValueError, HTTPException) as error:
        raise _unreachable(name, address) from error


def _unreachable(name: str, address: str) -> InputError:
    return InputError(
        f"Cannot download {address} (no connection?); go online and run 'ehrsynth fetch "
        f"{name}' again, what is there is kept."
    )


def _unpack(
    archive: Path, hashes: dict[str, str], sizes: dict[str, int], folder: Path, where: str
) -> None:
    """Unpack what is known, after a look at how large each says it is."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = {Path(member.filename).name: member for member in packed.infolist()}
            check_members(archive, [members[file] for file in hashes if file in members])
            for file, known in hashes.items():
                if file not in members:
                    raise InputError(f"{file} is not in {where}; the publisher changed it.")
                if members[file].file_size > sizes[file]:
                    raise _wrong(f"{file} in {where}")
                with atomic_path(folder / file) as temporary, packed.open(members[file]) as member:
                    temporary.write_bytes(member.read(sizes[file]))  # whatever else is in it
                    if not _right(temporary, known):
                        raise _wrong(f"{file} in {where}")
    except NOT_UNZIPPED as error:
        raise InputError(f"{where} is not a zip file; try again later.") from error


def _right(path: Path, known: str) -> bool:
    return path.is_file() and sha256(path) == known


def _wrong(what: str) -> InputError:
    return InputError(
        f"{what} does not have the published sha256 checksum; try again later, and if it stays so, "
        "the publisher has changed the file."
    )
