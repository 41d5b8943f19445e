"""Download public data sets: license shown, checksums checked, interrupted downloads resumed.

What can be downloaded, from where, and under which license is in ``registry.json``.
"""

import json
import logging
import os
import shutil
import zipfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from ..errors import InputError
from ..files import atomic_path

log = logging.getLogger(__name__)

URL_VARIABLE = "EHRSYNTH_DATA_URL"  # takes the place of the registry's address (a mirror)
FOLDER_VARIABLE = "EHRSYNTH_DATA_DIR"  # where data sets are kept, instead of the user's cache
_CHUNK = 1 << 16
_TIMEOUT = 30  # seconds without a byte


@lru_cache(maxsize=1)
def registry() -> dict[str, dict]:
    """The public data sets: title, license, attribution, url, and sha256 of every file."""
    return json.loads((files("ehrsynth.sources") / "registry.json").read_text("utf-8"))


def cache_folder(name: str) -> Path:
    """Where :func:`fetch` puts a data set when no folder is given."""
    import pooch

    root = os.environ.get(FOLDER_VARIABLE)
    return (Path(root) if root else Path(pooch.os_cache("ehrsynth"))) / name


def is_fetched(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether all files of a data set are in the folder (their content is not checked)."""
    folder = Path(data_dir) if data_dir else cache_folder(name)
    return all((folder / file).is_file() for file in registry()[name]["files"])


def fetch(
    name: str,
    data_dir: str | Path | None = None,
    base_url: str | None = None,
    progress: bool = False,
) -> Path:
    """Download a public data set, or what is still missing of it.

    Files that are there and whole are kept; a file that was interrupted goes on where it
    stopped. Every file is checked against its published sha256.

    Parameters
    ----------
    name : {"mimic-iv-demo", "diabetes130"}
    data_dir : str or Path, optional
        Folder for the files; the user's cache folder by default.
    base_url : str, optional
        A mirror with the same files; default: ``EHRSYNTH_DATA_URL``, else the publisher.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    InputError
        For an unknown or credentialed data set, no connection, or a wrong checksum.
    """
    entry = _entry(name)
    folder = Path(data_dir) if data_dir else cache_folder(name)
    log.info("%s", entry["title"])
    log.info("License: %s, %s", entry["license"], entry["license_url"])
    log.info("Please cite: %s", entry["attribution"])
    url = (base_url or os.environ.get(URL_VARIABLE) or entry["url"]).rstrip("/") + "/"
    if "archive" in entry:
        _fetch_archive(name, entry, url, folder, progress)
    else:
        _fetch_files(name, entry["files"], url, folder, progress)
    return folder


def _entry(name: str) -> dict:
    public = [key for key, entry in registry().items() if not entry.get("credentialed")]
    entry = registry().get(name)
    if entry is None:
        raise InputError(f"There is nothing to download for {name!r}; use {' or '.join(public)}.")
    if entry.get("credentialed"):
        raise InputError(credentialed_help(name))
    return entry


def credentialed_help(name: str) -> str:
    """How to get a data set that cannot simply be downloaded, in one sentence."""
    return (
        f"{name} is for credentialed users: take the training and sign the agreement at "
        f"{registry()[name]['url']}, download the hosp folder there, and give its folder "
        f"with --data (the open {name}-demo needs none of this)."
    )


def _fetch_files(name: str, hashes: dict, url: str, folder: Path, progress: bool) -> None:
    import pooch

    _make(folder)
    keeper = pooch.create(
        path=folder, base_url=url, registry={k: v and f"sha256:{v}" for k, v in hashes.items()}
    )
    pooch.get_logger().setLevel("WARNING")
    for file in hashes:
        try:
            keeper.fetch(file, downloader=_Resuming(name, folder / f"{file}.part", progress))
        except InputError:  # the downloader has said it
            raise
        except ValueError as error:  # pooch's word for a wrong checksum
            raise InputError(
                f"{url}{file} does not have the published sha256 checksum; try again later, and "
                "if it stays so, the publisher has changed the file."
            ) from error
        except OSError as error:
            raise InputError(
                f"Cannot write {folder / file}: {error.strerror or error}; "
                "choose a folder you can write to with enough free space."
            ) from error


def _fetch_archive(name: str, entry: dict, url: str, folder: Path, progress: bool) -> None:
    """Download a zip file and take the files out of it, unless they are there and right."""
    import pooch

    def right(path: Path, sha256: str) -> bool:
        return path.is_file() and pooch.file_hash(str(path), alg="sha256") == sha256

    if all(right(folder / file, sha256) for file, sha256 in entry["files"].items()):
        return
    archive = entry["archive"]
    (folder / archive).unlink(missing_ok=True)  # one that could not be used
    _fetch_files(name, {archive: None}, url, folder, progress)
    try:
        with zipfile.ZipFile(folder / archive) as packed:
            members = {Path(member).name: member for member in packed.namelist()}
            for file, sha256 in entry["files"].items():
                if file not in members:
                    raise InputError(f"{file} is not in {url}{archive}; the publisher changed it.")
                with atomic_path(folder / file) as temporary:
                    with packed.open(members[file]) as source, open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target)
                    if not right(temporary, sha256):
                        raise InputError(
                            f"{file} in {url}{archive} does not have the published sha256 "
                            "checksum; try again later, and if it stays so, the publisher has "
                            "changed the file."
                        )
    except zipfile.BadZipFile as error:
        raise InputError(f"{url}{archive} is not a zip file; try again later.") from error
    finally:
        (folder / archive).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make {folder}: {error.strerror}; choose another folder."
        ) from error


class _Resuming:
    """A downloader for pooch that keeps what it has and asks the server for the rest.

    Pooch's own deletes an unfinished file; a 20 MB file over a slow line then never ends.
    """

    def __init__(self, name: str, part: Path, progress: bool):
        self.name, self.part, self.progress = name, part, progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        try:
            self._download(url)
        except requests.HTTPError as error:
            raise InputError(
                f"{url} answers {error.response.status_code} {error.response.reason}; the "
                "address may have changed, so download it by hand and give the folder with --data."
            ) from error
        except requests.RequestException as error:
            raise InputError(
                f"Cannot download {url} (no connection?); go online and run "
                f"'ehrsynth fetch {self.name}' again, what is there is kept and it goes on from "
                "there."
            ) from error
        shutil.move(self.part, output_file)

    def _download(self, url: str) -> None:
        import requests
        from tqdm import tqdm

        self.part.parent.mkdir(parents=True, exist_ok=True)
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # bytes as published, so that sizes add up
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if have and answer.status_code == 416:  # nothing is left to send
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if total == str(have):
                    return
                self.part.unlink()
                return self._download(url)
            answer.raise_for_status()
            if answer.status_code != 206:  # the server sends everything again
                have = 0
            size = answer.headers.get("Content-Length")
            expected = None if size is None else have + int(size)
            with (
                open(self.part, "ab" if have else "wb") as file,
                tqdm(total=expected, initial=have, unit="B", unit_scale=True,
                     desc=url.rpartition("/")[2], disable=not self.progress) as bar,
            ):  # fmt: skip
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        if expected is not None and self.part.stat().st_size < expected:
            raise requests.ConnectionError(f"{url} ended early")
