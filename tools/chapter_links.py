"""A small Sphinx extension: where a docstring names its chapter, the API page links to it."""

import re

import architecture

_NAMED = re.compile(r'Chapter\s+([a-z-]+),\s+"([^"]+)"')


def link_chapters(text: str) -> str:
    """Every ``Chapter slug, "Section"`` of a text as a link, with the chapter's number."""
    chapters = architecture.chapters()

    def link(found: re.Match) -> str:
        slug, section = found[1], " ".join(found[2].split())
        if slug not in chapters:
            return found[0]
        number, file = chapters[slug]
        return f':doc:`Chapter {number}, "{section}" </{file}>`'

    return _NAMED.sub(link, text)


def _process(app, what, name, thing, options, lines: list[str]) -> None:
    lines[:] = link_chapters("\n".join(lines)).split("\n")


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
