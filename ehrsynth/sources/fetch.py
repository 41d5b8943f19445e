"""Download the public data sets of ``registry.json``: license shown, checksums checked."""

import logging
import os
import zipfile
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..files import atomic_path, read_json

log = logging.getLogger(__name__)

URL_VARIABLE = "EHRSYNTH_DATA_URL"  # takes the place of the registry's address (a mirror)
FOLDER_VARIABLE = "EHRSYNTH_DATA_DIR"  # where data sets are kept, instead of the user's cache
# Give up after so many seconds without a byte; bytes come as published, or checksums are wrong.
_REQUEST = {"timeout": 30, "headers": {"Accept-Encoding": "identity"}}


@cache
def registry() -> dict[str, dict]:
    """The public data sets: title, license, attribution, url, and sha256 of every file."""
    return read_json(Path(__file__).with_name("registry.json"))


def _cache_folder(name: str) -> Path:
    import pooch

    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("ehrsynth")) / name


def fetched(name: str) -> Path:
    """The folder with the fetched copy of this data set; how to get one, if there is none."""
    entry = registry().get(name)
    if entry is None:
        raise InputError(f"Data set {name} needs a file; give it with --data.")
    _refuse_credentialed(name)
    folder = _cache_folder(name)
    if not all((folder / file).is_file() for file in entry["files"]):
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
    """Download a public data set, or what is still missing of it, and check it.

    Parameters
    ----------
    name : {"mimic-iv-demo", "diabetes130"}
        Of its files those that are there and right are kept.
    data_dir, base_url : str or Path, str, optional
        The user's cache folder by default; ``EHRSYNTH_DATA_URL``, else the publisher.
    progress : bool

    Returns
    -------
    Path
        The folder with the files, of which none is ever half-written.
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
    if "archive" not in entry:
        _download(name, entry["files"], url, folder, progress)
    elif not all(_right(folder / file, sha256) for file, sha256 in entry["files"].items()):
        archive = folder / entry["archive"]
        archive.unlink(missing_ok=True)  # one that could not be used
        _download(name, {archive.name: None}, url, folder, progress)
        try:
            _unpack(archive, entry["files"], folder, f"{url}{archive.name}")
        finally:
            archive.unlink(missing_ok=True)
    return folder


def _download(name: str, hashes: dict, url: str, folder: Path, progress: bool) -> None:
    """Download these files unless they are there and right; a hash of None is not checked."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    known = {file: sha256 and f"sha256:{sha256}" for file, sha256 in hashes.items()}
    keeper = pooch.create(folder, url, registry=known, retry_if_failed=1)
    downloader = pooch.HTTPDownloader(progressbar=progress, **_REQUEST)
    for file in hashes:
        try:
            keeper.fetch(file, downloader=downloader)
        except requests.HTTPError as error:
            answer = str(error).partition(" for url")[0]
            raise InputError(
                f"{url}{file} answers {answer}; the address may have changed, so download it by "
                "hand and give the folder with --data."
            ) from error
        except requests.RequestException as error:
            raise InputError(
                f"Cannot download {url}{file} (no connection?); go online and run 'ehrsynth fetch "
                f"{name}' again, what is there is kept."
            ) from error
        except ValueError as error:  # pooch's word for a wrong checksum
            raise _wrong(f"{url}{file}") from error
        except OSError as error:
            raise InputError(
                f"Cannot make {folder / file}: {error.strerror or error}; choose a folder you can "
                "write to with enough free space."
            ) from error


def _unpack(archive: Path, hashes: dict[str, str], folder: Path, where: str) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            members = {Path(member).name: member for member in packed.namelist()}
            for file, sha256 in hashes.items():
                if file not in members:
                    raise InputError(f"{file} is not in {where}; the publisher changed it.")
                with atomic_path(folder / file) as temporary:
                    temporary.write_bytes(packed.read(members[file]))
                    if not _right(temporary, sha256):
                        raise _wrong(f"{file} in {where}")
    except zipfile.BadZipFile as error:
        raise InputError(f"{where} is not a zip file; try again later.") from error


def _right(path: Path, sha256: str) -> bool:
    import pooch

    return path.is_file() and pooch.file_hash(str(path), alg="sha256") == sha256


def _wrong(what: str) -> InputError:
    return InputError(
        f"{what} does not have the published sha256 checksum; try again later, and if it stays so, "
        "the publisher has changed the file."
    )
