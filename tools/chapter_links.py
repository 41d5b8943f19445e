"""A small Sphinx extension: where a docstring names its chapter, the API page links to it.

And references are no list to a screen reader, which docutils calls them with items that are none.
"""

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


def without_false_roles(body: str) -> str:
    """A page without roles of references that browsers forget, or that promise other children."""
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    return body.replace(' role="doc-biblioentry"', "")


def _mend(app, page, template, context: dict, doctree) -> None:
    if "citation-list" in context.get("body", ""):
        context["body"] = without_false_roles(context["body"])


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True}
