"""The built pages in headless Chromium: no error, no stranger, nothing too wide or unnamed."""

import functools
import http.server
import os
import re
import shutil
import sys
import threading
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import notebooks  # noqa: E402
import print_book  # noqa: E402
import slides  # noqa: E402

HTML = ROOT / "_build" / "html"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in (HTML / "book").rglob("*.html")
    if not path.stem.startswith("_")
) or ["none built"]
SIZES = {"desktop": (1280, 900), "phone": (420, 900)}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
GENERIC_ALT = re.compile(r"^(?:|image|figure|plot|.*_images/.*|.*\.(?:png|svg|jpe?g))$", re.I)

REQUIRED = os.environ.get("EHRSYNTH_BROWSER") == "required"
# axe-core takes seconds a page: `make test-browser` asks it about all, `make test` about some.
FOR_AXE = [*(PAGES if REQUIRED else PAGES[::6]), "search.html"]

pytestmark = pytest.mark.xdist_group("browser")


def find_chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return named or next((found for name in names if (found := shutil.which(name))), None)


def do_without(reason: str):
    """Skip, or fail where the browser is what is asked for (`make test-browser`)."""
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address():
    """The built site, served from this machine."""
    if not (HTML / "index.html").exists():
        do_without("_build/html is not built; run `make book` first")
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, from the package that carries it."""
    try:
        return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    except ImportError:
        do_without("axe-playwright-python, which carries axe-core, is not installed")


@pytest.fixture(scope="module")
def browser(address):
    try:
        import playwright.sync_api as playwright
    except ImportError:
        do_without("playwright is not installed")
    chromium = find_chromium()
    if chromium is None:
        do_without("no Chromium on this machine; install it or set CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def visit(browser, address: str, page_name: str, size: str, theme: str = "light"):
    """Open a page; returns it with what it complained about and what it asked others for."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    complaints, strangers = [], []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda r: complaints.append(f"{r.status} {r.url}") if r.status > 399 else 0)

    def guard(route):
        url = urlsplit(route.request.url)
        if url.scheme in ("http", "https", "ws") and url.hostname != "127.0.0.1":
            strangers.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    context.route("**/*", guard)
    page.goto(f"{address}/{page_name}", wait_until="networkidle")
    page.wait_for_function(
        "!document.querySelector('.math') || !!document.querySelector('mjx-container')",
        timeout=15_000,
    )
    return page, complaints, strangers


# What is wider than the screen scrolls inside itself, in letters that can be read.
CANNOT_BE_READ = """() => {
    document.querySelectorAll('details').forEach(fold => fold.open = true);
    const scrolls = e => e.tagName !== 'MAIN' && (
        ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
    return [...document.querySelectorAll('main pre, main table')].filter(box => {
        const seen = box.getBoundingClientRect(), words = box.querySelector('td') || box;
        const cut = seen.right > innerWidth + 1 || box.scrollWidth > box.clientWidth + 1;
        return seen.width && ((cut && !scrolls(box))
            || parseFloat(getComputedStyle(words).fontSize) < 10.5);
    }).map(box => box.innerText.slice(0, 80));
}"""


# A sentence in a cell of a table that has become a column of single words.
SINGLE_WORDS = """() => [...document.querySelectorAll('main td')].filter(cell => {
    const words = document.createRange();
    words.selectNodeContents(cell);
    const height = words.getBoundingClientRect().height;
    return cell.clientWidth && cell.clientWidth < 110 && height > 3.2 * cell.clientWidth;
}).map(cell => cell.innerText.slice(0, 80))"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page_name", PAGES)
def test_page(browser, address, page_name, size):
    page, complaints, strangers = visit(browser, address, page_name, size)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    alts = page.eval_on_selector_all(
        ".cell_output img", "images => images.map(i => i.getAttribute('alt') || '')"
    )
    broken = page.eval_on_selector_all(
        "img", "images => images.filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    formulas_failed = page.locator("mjx-merror").count()
    unread = page.evaluate(CANNOT_BE_READ)
    columns = page.evaluate(SINGLE_WORDS)
    page.context.close()
    assert not strangers, f"asked other machines for {strangers}"
    assert not complaints, f"the console says {complaints}"
    assert wide <= 0, f"{wide} pixels wider than the screen"
    assert not unread, f"code or tables that are cut off or too small: {unread}"
    assert not columns, f"cells that are columns of single words: {columns}"
    assert not broken, f"pictures that do not load: {broken}"
    assert formulas_failed == 0, "a formula cannot be read"
    unnamed = [alt for alt in alts if GENERIC_ALT.match(alt.strip()) or len(alt.split()) < 5]
    assert not unnamed, f"pictures without alt text that says what is to be seen: {unnamed}"


# Of thousands of words of code one of each color on each ground, and of formulas a few: axe-core
# looks at every one, and what is drawn alike can be read alike.
ALIKE_ONCE = """() => {
    document.querySelectorAll('details').forEach(fold => fold.open = true);
    const seen = new Set();
    document.querySelectorAll('pre span').forEach(word => {
        const box = word.closest('pre'), look = getComputedStyle(word);
        const where = box.closest('.cell, details, div.highlight')?.className;
        const key = [look.color, look.backgroundColor, look.fontSize, where].join('|');
        if (seen.has(key) && !word.querySelector('span')) word.remove();
        seen.add(key);
    });
    [...document.querySelectorAll('mjx-container')].slice(5).forEach(formula => formula.remove());
}"""
FAULTS_FOUND = """async tags => {
    const found = await axe.run(document, {runOnly: tags, resultTypes: ['violations']});
    return found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
        .flatMap(v => v.nodes.map(n => `${v.impact} ${v.id}: ${n.html.slice(0, 120)}`));
}"""
WCAG_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def found_by_axe(page, script: str) -> dict[str, list[str]]:
    """What axe-core finds serious or critical in each theme, everything unfolded."""
    # What is unfolded fades in; half way it is faint.
    page.add_style_tag(content="* { animation: none !important; transition: none !important; }")
    page.evaluate(ALIKE_ONCE)
    page.evaluate(script)
    found = {}
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found[theme] = page.evaluate(FAULTS_FOUND, WCAG_AA)
    return found


@pytest.mark.parametrize("page_name", FOR_AXE)
def test_page_for_everybody(browser, address, axe, page_name):
    """WCAG AA by axe-core, light and dark: nothing serious and nothing critical."""
    page, _, _ = visit(browser, address, page_name, "desktop")
    page.set_default_timeout(120_000)
    found = found_by_axe(page, axe)
    page.context.close()
    assert found == {"light": [], "dark": []}


def test_axe_notices_what_cannot_be_read(browser, address, axe):
    page, _, _ = visit(browser, address, PAGES[-1], "desktop")
    page.evaluate("""() => {
        const faint = document.createElement('p');
        faint.innerHTML = 'Faint words<img src="">';
        faint.style = 'color: #999; background: #bbb';
        document.querySelector('main').append(faint);
    }""")
    found = found_by_axe(page, axe)
    page.context.close()
    assert {fault.split(":")[0] for fault in found["light"]} >= {
        "serious color-contrast", "critical image-alt",
    }  # fmt: skip


def test_index_leads_to_the_book(browser, address):
    page, complaints, strangers = visit(browser, address, "index.html", "desktop")
    page.wait_for_url("**/book/index.html")
    links = page.eval_on_selector_all("main ol a", "links => links.map(a => a.pathname)")
    page.context.close()
    assert not complaints and not strangers
    chapters = [link for link in links if "/chapters/" in link]
    built = [name for name in PAGES if "/chapters/" in name]
    assert sorted(link.strip("/") for link in chapters) == built


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(browser, address, theme):
    """Text and ground differ enough (WCAG AA, 4.5 to 1) in both themes."""
    page, _, _ = visit(browser, address, PAGES[-1], "desktop", theme)
    ratio = page.evaluate("""() => {
        const light = css => {
            const [r, g, b] = css.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b;
        };
        const text = light(getComputedStyle(document.querySelector('main p')).color);
        const ground = light(getComputedStyle(document.body).backgroundColor);
        return (Math.max(text, ground) + .05) / (Math.min(text, ground) + .05);
    }""")
    theme_now = page.evaluate("document.documentElement.dataset.theme")
    page.context.close()
    assert theme_now == theme
    assert ratio >= 4.5


WITH_SLIDER = [
    name for name in PAGES if name.endswith(("02-gan-architecture.html", "05-training.html"))
]


def test_a_phone_notices_code_that_is_cut_off(browser, address):
    page, _, _ = visit(browser, address, PAGES[-1], "phone")
    page.evaluate("""() => {
        const cut = document.createElement('pre');
        cut.textContent = 'x'.repeat(200);
        cut.style = 'overflow-x: hidden; white-space: pre';
        document.querySelector('main p').after(cut);
    }""")
    noticed = page.evaluate(CANNOT_BE_READ)
    page.context.close()
    assert noticed == ["x" * 80]


@pytest.mark.parametrize("page_name", WITH_SLIDER or ["none built"])
def test_slider_moves_through_the_frames(browser, address, page_name):
    """Every slider of the page, by keyboard; each frame has its own picture and words."""
    page, complaints, strangers = visit(browser, address, page_name, "phone", "dark")
    sliders = page.locator(".es-slider")
    assert sliders.count() > 0
    names = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    for i in range(sliders.count()):
        box, control = sliders.nth(i), sliders.nth(i).locator("input")
        assert names.count(box.get_attribute("id")) == 1
        control.press("Home")
        frames = []
        for _ in range(1 + int(control.get_attribute("max"))):
            image = box.locator("img")
            loaded = image.evaluate("i => i.decode().then(() => i.naturalWidth > 0)")
            label = box.locator("label b").inner_text()
            frames.append((label, image.get_attribute("alt"), image.get_attribute("src"), loaded))
            assert control.get_attribute("aria-valuetext") == label
            control.press("ArrowRight")
        labels, alts, pictures, loaded = zip(*frames, strict=True)
        assert len(set(labels)) == len(set(pictures)) == len(frames) > 2
        assert all(loaded)
        assert not [alt for alt in alts if GENERIC_ALT.match(alt) or len(alt.split()) < 5]
    page.context.close()
    assert not complaints and not strangers


@pytest.mark.parametrize("page_name", WITH_SLIDER or ["none built"])
def test_slider_shows_its_last_frame_without_scripts(browser, address, page_name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{page_name}")
    sliders = page.locator(".es-slider")
    assert sliders.count() > 0
    for i in range(sliders.count()):
        images = sliders.nth(i).locator("img")
        assert images.count() == 1 and images.is_visible()
        assert not sliders.nth(i).locator("input").is_visible()
    context.close()


def test_on_paper_what_is_folded_can_be_read_and_solutions_are_not(browser):
    page = browser.new_page()
    page.set_content(
        "<div id='jb-print-docs-body'><h1>The book</h1></div><section><h1>One</h1></section>"
        "<details><summary>Critic</summary>The judge.</details>"
        "<details class='hide'><summary>Show solution</summary>return 3</details>"
    )
    page.add_style_tag(content=print_book.STYLE)
    page.evaluate(print_book.OPEN)
    page.emulate_media(media="print")
    assert page.get_by_text("The judge.").is_visible()
    assert not page.get_by_text("return 3").is_visible()
    before = (
        "all => all.map(h => getComputedStyle(h).breakBefore + getComputedStyle(h).breakInside)"
    )
    assert page.eval_on_selector_all("h1", before) == ["autoavoid", "autoavoid"]
    page.context.close()


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768)], ids=["wide", "square"])
@pytest.mark.parametrize("chapter", notebooks.chapters(), ids=lambda path: path.stem)
def test_a_slide_shows_all_of_itself(browser, chapter, size):
    """On a projector: nothing below the screen, the picture large enough to see."""
    page = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    page.set_content(slides.page("Slides", slides.slides(notebooks.read(chapter), "")))
    for number in range(1, 1 + page.locator("section").count()):
        page.wait_for_function(
            "n => document.querySelector('footer').textContent.startsWith(n)", arg=f"{number} /"
        )
        assert page.evaluate("document.documentElement.scrollHeight") <= size[1], number
        for picture in page.locator("section.now img").all():
            assert picture.bounding_box()["height"] >= size[1] / 2 - 1
        page.keyboard.press("ArrowRight")
    page.context.close()


WITH_QUIZ = [
    name
    for name in PAGES
    if "/chapters/" in name
    and "Open the option that you would choose" in (HTML / name).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page_name", WITH_QUIZ or ["none built"])
def test_quiz_marks_itself(browser, address, page_name):
    """Each option opens by keyboard and says whether it is right; the first choice counts."""
    page, complaints, strangers = visit(browser, address, page_name, "phone")
    options = page.locator("#quiz details")
    assert options.count() >= 15, "five questions with three options each"
    right = 0
    for i in range(options.count()):
        option = options.nth(i)
        text = option.locator("p").first
        assert not text.is_visible()
        option.locator("summary").press("Enter")
        assert text.is_visible()
        right += text.inner_text().startswith("Right.")
    told = page.locator(".es-quiz-score").inner_text()
    page.context.close()
    assert right >= 5 and f"of {right} at the first try" in told
    assert not complaints and not strangers


@pytest.mark.parametrize("word", ["membership", "phecode"])
def test_search_finds_pages(browser, address, word):
    page, complaints, strangers = visit(browser, address, f"search.html?q={word}", "desktop")
    found = page.locator("#search-results li a")
    found.first.wait_for(timeout=60_000)
    found.first.click()
    page.wait_for_load_state()
    assert word in page.inner_text("main").lower()
    page.context.close()
    assert not complaints and not strangers


def test_search_says_when_nothing_is_found(browser, address):
    page, _, _ = visit(browser, address, "search.html?q=qwertzuiop", "desktop")
    page.get_by_text("did not match any documents").wait_for(timeout=60_000)
    assert page.locator("#search-results li a").count() == 0
    page.context.close()


def test_dark_mode_is_a_button_that_is_remembered(browser, address):
    page, complaints, _ = visit(browser, address, PAGES[-1], "desktop")
    theme = "document.documentElement.dataset.theme"
    button = page.locator("button.theme-switch-button:visible").first
    seen = []
    for _ in range(3):
        button.press("Enter")
        seen.append(page.evaluate(theme))
    assert set(seen) == {"light", "dark"}
    while page.evaluate("document.documentElement.dataset.mode") != "dark":
        button.press("Enter")
    page.goto(f"{address}/search.html")
    assert page.evaluate(theme) == "dark"
    page.context.close()
    assert not complaints
