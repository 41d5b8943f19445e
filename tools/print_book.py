"""The built book as one PDF, printed by Chromium. `make pdf` calls this after `make book`."""

import shutil
import subprocess
import sys
from pathlib import Path

from build_book import BUILD, SOURCE, _site_env
from notebooks import ROOT

SINGLE = BUILD / "single" / "_build" / "singlehtml"
PAGE = SINGLE / "print.html"
TARGET = BUILD / "ehrsynth.pdf"
# Nothing to click on paper: navigation and solutions go, flashcards and quizzes stand open.
OPEN = "document.querySelectorAll('details:not(.hide)').forEach(fold => fold.open = true)"
STYLE = """
.bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, .bd-footer,
.bd-header, .skip-link, #pst-back-to-top, .copybtn, .header-article-items, .sidebar-toggle,
details.hide, .es-slider input { display: none !important }
body, .bd-main, .bd-content, .bd-article-container { display: block !important;
  max-width: none !important; width: auto !important; margin: 0 !important }
body { font-size: 10pt }
pre, code { font-size: 8pt !important; white-space: pre-wrap !important }
img { max-width: 100% !important; break-inside: avoid }
table { font-size: 8.5pt; break-inside: auto }
h1 { break-before: page } h1, h2, h3 { break-after: avoid; break-inside: avoid }
section:first-of-type > h1:first-child, #jb-print-docs-body h1 { break-before: auto }
pre, .highlight, .cell, .cell_input, .cell_output, div[class*="highlight-"] {
  break-inside: auto !important; display: block !important }
.cell_output, pre { overflow: visible !important }
"""


def find_chromium() -> str | None:
    """Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def build_single() -> None:
    """All pages on one, from the source that `make book` has filled in."""
    command = [
        *(str(Path(sys.executable).with_name("jupyter-book")), "build", str(SOURCE)),
        *("--toc", str(SOURCE / "book" / "_toc.yml"), "--builder", "singlehtml"),
        *("--path-output", str(BUILD / "single")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=_site_env())
    made = SINGLE / "book" / "index.html"
    if done.returncode or not made.exists():
        raise SystemExit(f"The page to print was not made:\n{(done.stdout + done.stderr)[-2000:]}")
    # Its addresses begin one folder further up.
    shutil.copy2(made, PAGE)


def main() -> int:
    chromium = find_chromium()
    if chromium is None:
        print("No Chromium on this machine. On Debian: apt-get install chromium", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    build_single()
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        page.goto(PAGE.as_uri(), wait_until="load")
        page.wait_for_function(
            "!document.querySelector('.math') || !!document.querySelector('mjx-container')",
            timeout=120_000,
        )
        page.add_style_tag(content=STYLE)
        page.evaluate(OPEN)
        page.emulate_media(media="print")
        page.pdf(
            path=str(TARGET), format="A4", print_background=True, outline=True, tagged=True,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
            display_header_footer=True, header_template="<span></span>",
            footer_template='<div style="font-size:8px;width:100%;text-align:center">'
            '<span class="pageNumber"></span></div>',
        )  # fmt: skip
        browser.close()
    print(f"The book to print is in {TARGET.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
