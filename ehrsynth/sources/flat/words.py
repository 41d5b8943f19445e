"""Words that the reader of flat tables knows, of ``words.toml``."""

import tomllib
from pathlib import Path

WORDS: dict[str, str] = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
