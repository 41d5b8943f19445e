"""Slides of every chapter, each one file that needs nothing else. `make slides` calls this.

A chapter's slides are its title, its questions, every picture with what to see in it, the cells
that are tagged `slide`, and its take-aways; a cell tagged `no-slide` is left out. The notes to
the speaker are the text before a picture and the chapter's part of the instructor's notes.
Keys: arrows turn the page, n shows the notes, o shows all slides, f fills the screen.
"""

import html
import re
import sys
from dataclasses import dataclass

import notebooks
from build_book import BUILD, EXECUTED
from markdown_it import MarkdownIt

TARGET = BUILD / "slides"
NOTES = notebooks.ROOT / "book" / "workshops" / "instructor-notes.md"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ margin: 0; font: 1.6rem/1.4 system-ui, sans-serif; color: #1f2933; background: #fff }}
section {{ display: none; box-sizing: border-box; min-height: 100vh; padding: 5vh 6vw }}
section.now {{ display: flex; flex-direction: column; height: 100vh }}
.all section {{ display: block; height: auto }}
.all section {{ border-bottom: 2px solid #9aa5b1; min-height: 0; font-size: 1rem }}
img {{ display: block; max-width: 100%; max-height: 68vh; margin: 1rem auto }}
.now img {{ flex: 1 1 0; min-height: 50vh; width: 100%; margin: 0 auto; object-fit: contain }}
h1 {{ font-size: 1.6em }} h2 {{ font-size: 1.25em; margin: 0 0 .5em }}
table {{ border-collapse: collapse; font-size: .75em }}
td, th {{ padding: .2em .8em; text-align: left }}
aside {{ display: none; font-size: .65em; border-top: 2px solid #9aa5b1; margin-top: 1.5rem }}
.notes aside {{ display: block }}
footer {{ position: fixed; right: 1rem; bottom: .5rem; font-size: .9rem }}
@media print {{
  section {{ display: block !important; height: auto !important; break-after: page }}
  footer {{ display: none }}
}}
</style></head><body>
{slides}
<footer aria-live="polite"></footer><script>
const all = [...document.querySelectorAll('section')], foot = document.querySelector('footer');
const at = () => Math.min(Math.max(+location.hash.slice(1) || 1, 1), all.length);
function show() {{
  all.forEach((s, i) => s.classList.toggle('now', i === at() - 1));
  foot.textContent = at() + ' / ' + all.length + '  (n: notes, o: all)';
  if (!document.body.classList.contains('all')) scrollTo(0, 0);
  const now = all[at() - 1], page = document.documentElement;
  let size = 1.6;  // smaller letters before anything is below the screen
  now.style.fontSize = '';
  while (page.scrollHeight > innerHeight && size > 0.8 && !document.body.className)
    now.style.fontSize = (size -= 0.1) + 'rem';
}}
addEventListener('hashchange', show);
addEventListener('resize', show);
addEventListener('load', show);
addEventListener('keydown', e => {{
  const to = n => {{ location.hash = Math.min(Math.max(n, 1), all.length); }};
  if (['ArrowRight', 'PageDown', ' '].includes(e.key)) to(at() + 1);
  else if (['ArrowLeft', 'PageUp'].includes(e.key)) to(at() - 1);
  else if (e.key === 'Home') to(1);
  else if (e.key === 'End') to(all.length);
  else if (e.key === 'n') document.body.classList.toggle('notes');
  else if (e.key === 'o') document.body.classList.toggle('all');
  else if (e.key === 'f') document.documentElement.requestFullscreen();
  else return;
  e.preventDefault();
}});
show();
</script></body></html>
"""


@dataclass
class Slide:
    """What is shown, as HTML, and what the speaker may want to say, as Markdown."""

    shown: str
    notes: str = ""


def render(text: str) -> str:
    """Markdown as HTML; links into the book lose their address, for the file stands alone."""
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    return MarkdownIt("commonmark").enable("table").render(text)


def part(text: str, heading: str) -> str:
    """A section of a Markdown text, its heading included."""
    found = re.search(rf"^## {heading}$.*?(?=^## |\Z)", text, re.M | re.S)
    return found[0].strip() if found else ""


def pictures(cell) -> list[str]:
    """The pictures of a cell, each with its words for those who do not see it."""
    alt = html.escape(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))
    shown = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            shown.append(
                f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">'
            )
    return shown


def what_to_see(cell) -> str:
    """The sentence below a picture, written or computed, or else what is computed there."""
    if cell is None:
        return ""
    texts = [cell.source] if cell.cell_type == "markdown" else map(
        notebooks.text_of, cell.get("outputs", [])
    )  # fmt: skip
    # The star that ends it is none of a number in bold.
    whole = r"\*(What to see:(?:\*\*|[^*])*)\*(?=\s|$)"
    found = (re.match(whole, text) for text in texts)
    computed = (
        o["data"]["text/markdown"]
        for o in cell.get("outputs", [])
        if "data" in o and "text/markdown" in o["data"]
    )
    return next((match[1] for match in found if match), next(computed, ""))


def slides(notebook, notes: str) -> list[Slide]:
    """The slides of a chapter."""
    made, heading, before = [Slide(render(notebook.cells[0].source), notes)], "", ""
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        tags = notebooks.tags(cell)
        if "no-slide" in tags or {"setup", "badges", "solution", "exercise"} & set(tags):
            continue
        if cell.cell_type == "markdown":
            questions = part(cell.source, "Questions").split("**You need to know**")[0]
            if questions:
                made.append(Slide(render(questions)))
            found = re.findall(r"^##+ (.+)$", cell.source, re.M)
            heading, before = (found[-1] if found else heading), cell.source
            if "slide" in tags:
                made.append(Slide(render(cell.source)))
        for picture in pictures(cell):
            see = render(what_to_see(after))
            made.append(Slide(f"<h2>{html.escape(heading)}</h2>{picture}{see}", before))
    take_aways = [part(c.source, "Take-aways") for c in notebook.cells if c.cell_type == "markdown"]
    return made + [Slide(render(text)) for text in take_aways if text]


def page(title: str, made: list[Slide]) -> str:
    """One HTML file with all of it."""
    sections = (
        f"<section>{s.shown}" + (f"<aside>{render(s.notes)}</aside>" if s.notes else "")
        + "</section>" for s in made
    )  # fmt: skip
    return PAGE.format(title=html.escape(title), slides="\n".join(sections))


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    told = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
    for path in notebooks.chapters():
        source = EXECUTED / path.name
        notebook = notebooks.read(source if source.exists() else path)
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        notes = part(told, rf"Chapter {int(path.stem[:2])}: .*")
        made = slides(notebook, notes)
        target = TARGET / f"{path.stem}.html"
        target.write_text(page(title, made), encoding="utf-8")
        size = target.stat().st_size / 1e6
        print(f"  {target.relative_to(notebooks.ROOT)}: {len(made)} slides, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
