"""The folder of one run: ``run.json`` in it says which run it holds, and how far that is."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from .errors import InputError
from .files import atomic_path, read_json, write_json

_GIT_IGNORE, _IGNORE_ALL = ".gitignore", "*\n"


@dataclass
class RunFolder:
    """A folder that may hold one run, unfinished or finished, but no other."""

    path: Path

    @property
    def _file(self) -> Path:
        return self.path / "run.json"

    @cached_property
    def lock(self) -> FileLock:
        """Chapters run side by side share a folder: only one of them makes a stage."""
        return FileLock(self.path / ".lock")

    def claim(self, settings: dict, private: bool) -> None:
        """Start ``run.json``, or check that the folder holds this very run.

        Git is to overlook a new folder that is `private`: real patients will lie in it.
        """
        if self._file.exists():
            found = read_json(self._file)["settings"]
            for name, value in settings.items():
                if found.get(name, value) != value:
                    raise InputError(
                        f"{self.path} holds a run with {name} {found[name]!r}, not {value!r}; "
                        "choose another folder, or delete this one to start over."
                    )
            return
        new = not self.path.is_dir() or not any(self.path.iterdir())
        write_json({"settings": settings, "facts": {}, "finished": {}}, self._file)
        if new and private:
            with atomic_path(self.path / _GIT_IGNORE) as temporary:
                temporary.write_text(_IGNORE_ALL, encoding="utf-8")

    def leave_if_empty(self) -> None:
        """Remove what claimed the folder when the very first stage could not be finished."""
        if self.noted("finished"):
            return
        ours = ["run.json", ".lock"]
        ignore = self.path / _GIT_IGNORE
        if ignore.is_file() and ignore.read_text(encoding="utf-8") == _IGNORE_ALL:
            ours.append(_GIT_IGNORE)
        for name in ours:
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def noted(self, name: str) -> dict:
        """What ``run.json`` has under a name, such as "facts" or "finished"."""
        return read_json(self._file)[name]

    def note(self, **changes) -> None:
        """Put something into ``run.json``."""
        write_json(read_json(self._file) | changes, self._file)
