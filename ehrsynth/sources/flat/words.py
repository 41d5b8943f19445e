"""Words and patterns that the reader of flat tables knows, of ``words.toml``."""

import re
import tomllib
from pathlib import Path

_ALL = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
SETS = {name: set(text.split()) for name, text in _ALL.pop("sets").items()}
LINES = {name: text.strip().splitlines() for name, text in _ALL.pop("lines").items()}
PATTERNS = {name: re.compile(text) for name, text in _ALL["patterns"].items()}
WORDS: dict[str, str] = _ALL | _ALL.pop("patterns")


def is_called(what: str, name: str) -> bool:
    """Whether a name, or another text, is what a pattern says."""
    return PATTERNS[what].fullmatch(name) is not None
