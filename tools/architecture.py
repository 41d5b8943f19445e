"""The house: which module may import which, and the page that draws it.

    python tools/architecture.py            writes book/architecture.md and its picture
    python tools/architecture.py --check    says what is wrong, and changes nothing

The order below is the one fact that is written by hand. What each module is for, and what it
imports, comes from the code.
"""

import ast
import html
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ehrsynth"
PAGE = ROOT / "book" / "architecture.md"
PICTURE = ROOT / "book" / "_static" / "architecture.svg"

# From the ground up: each may import only what stands before it, inside a folder too.
HOUSE = {
    "Ground": {
        "stops": (), "errors": (), "files": (), "progress": (), "terminal": (), "protection": (),
    },
    "Columns": {
        "kinds": (), "schema": (), "relations": (), "rules": (),
        "statistics": (), "discovery": ("cells", "bands", "formulas", "leaks"),
    },
    "data-types": {
        "phecode": (),
        "sources": (
            "tables", "engine", "quality", "cells", "fetch", "drugs", "flat", "mimic_iv",
            "omop_files", "omop", "diabetes130",
        ),
        "phenotype": (), "cohort": (),
        "hospital": (
            "people", "illness", "care", "records", "truth", "writing",
        ),
        "datasets": (),
    },
    "preprocessing": {"preprocessing": ("matrix", "bins", "copula", "encode")},
    "gan-architecture": {
        "gan": (
            "losses", "networks", "recipe", "pairs_only", "monitor", "players", "train",
        )
    },
    "generation": {
        "generation": (
            "draw", "calibration", "tabulate", "pairs", "counts", "decode",
        ),
        "model": (), "runs": (), "stream": (),
    },
    "Pictures": {"plots": (), "slider": ()},
    "fidelity": {
        "evaluation": (
            "intervals", "learners", "neighbours", "metric", "repeats", "alignment",
            "setting", "marginals", "fidelity", "utility", "fairness", "inference",
            "survival", "privacy", "farthest", "verdict", "choose", "report",
            "judge", "validation",
        )
    },
    "Work": {
        "profiles": (), "traces": (), "rare": (), "run_folder": (), "audit": (), "release": (),
        "pipeline": (), "guarantee": ("budget", "pairs", "declared", "run"),
        "doctor": (), "cli": (), "__main__": (), "book": (),
    },
}  # fmt: skip
# Further chapters that a floor is taught in.
ALSO = {
    "gan-architecture": ("training",),
    "fidelity": ("utility", "privacy", "attacks", "choosing-and-releasing"),
}
# Folders inside of folders.
INSIDE = {
    "sources.flat": (
        "words", "columns_file", "decimals", "file", "reading", "as_numbers", "persons",
        "column_reader", "applying", "form", "table",
    ),
    "evaluation.privacy": (
        "success", "reference", "moments", "density_ratio", "membership", "scores", "copies",
        "guard", "attribute", "identity", "opinion", "adversarial", "closest_records", "attacks",
        "family", "power", "more_rows",
    ),
}  # fmt: skip
# These may import the project where they use it.
LAZY = {"ehrsynth", "ehrsynth.__main__", "ehrsynth.evaluation", "ehrsynth.cli", "ehrsynth.book"}
# Libraries that take long to import, or that not everybody has: imported where they are used.
SLOW_OR_OPTIONAL = {
    "IPython", "PIL", "duckdb", "ibis", "jinja2", "joblib", "lightgbm", "matplotlib", "pooch",
    "pyarrow", "pyspark", "requests", "safetensors", "scipy", "seaborn", "sklearn", "torch",
    "tqdm", "yaml",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import: which module imports what, in which line, and whether inside a function."""

    module: str
    imported: str
    line: int
    hidden: bool


@cache
def order() -> dict[str, int]:
    """The place of each module and folder in the house, by dotted name."""
    names = []
    for rooms in HOUSE.values():
        for room, parts in rooms.items():
            for part in parts:
                inside = INSIDE.get(f"{room}.{part}", ())
                names += [f"{room}.{part}.{name}" for name in inside]
                names.append(f"{room}.{part}")
            names.append(room)
    return {f"ehrsynth.{name}": place for place, name in enumerate(names)}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: Container[str]) -> Iterator[Import]:
    """What a module imports, of the project (whose modules are `known`) and of others."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        hidden = id(node) in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno, hidden)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*base, *filter(None, [node.module])]) if node.level else node.module
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield Import(name, whole if whole in known else source, node.lineno, hidden)


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == "ehrsynth"


def problems() -> list[str]:
    """Every import that the house does not allow, and every module that has no room."""
    places, known, found = order(), modules(), []
    for name, path in known.items():
        where = path.relative_to(ROOT)
        if name != "ehrsynth" and name not in places:
            found.append(f"{where} has no room in tools/architecture.py")
            continue
        for one in imports(name, path, known):
            at = f"{where}:{one.line}"
            if not _is_ours(one.imported):
                if one.hidden and one.imported.split(".")[0] not in SLOW_OR_OPTIONAL:
                    found.append(f"{at} hides the import of {one.imported} in a function")
            elif name in LAZY and (one.hidden or name == "ehrsynth"):
                continue
            elif one.hidden:
                found.append(f"{at} hides the import of {one.imported} in a function")
            elif places.get(one.imported, -1) >= places[name] and one.imported != "ehrsynth":
                found.append(f"{at} imports {one.imported}, which comes later")
    return found


def circles() -> list[list[str]]:
    """Modules that import each other, directly or by way of others, hidden imports too."""
    known = modules()
    graph = {
        name: {
            one.imported
            for one in imports(name, path, known)
            if _is_ours(one.imported) and one.imported not in ("ehrsynth", name)
        }
        for name, path in known.items()
        if name not in LAZY
    }
    found, done = [], set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            found.append([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    return found


# -- the page --------------------------------------------------------------------------


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def chapters() -> dict[str, tuple[int, str]]:
    """Number and file of each chapter by its slug, from the table of contents."""
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for entry in contents["parts"][0]["chapters"]]
    return {
        Path(file).name.partition("-")[2]: (number, file)
        for number, file in enumerate(files, start=1)
    }


def _floors() -> list[tuple[str, list[str]]]:
    """Floors with the rooms that exist, from the ground up."""
    there = modules()
    floors = []
    for floor, rooms in HOUSE.items():
        names = [room for room in rooms if f"ehrsynth.{room}" in there]
        if names:
            floors.append((floor, names))
    return floors


def _uses() -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    uses: dict[str, set[str]] = {}
    known = modules()
    for name, path in known.items():
        room = name.split(".")[1] if "." in name else ""
        for one in imports(name, path, known) if room else ():
            other = one.imported.split(".")[1] if one.imported.count(".") else ""
            if _is_ours(one.imported) and other and other != room:
                uses.setdefault(room, set()).add(other)
    return uses


def _title(floor: str) -> str:
    """What a floor is called: the chapters that teach it, or its own name."""
    slugs = chapters()
    if floor not in slugs:
        return floor
    numbers = [str(slugs[slug][0]) for slug in (floor, *ALSO.get(floor, ()))]
    if len(numbers) > 2:
        return f"Chapters {numbers[0]} to {numbers[-1]}"
    return f"Chapter{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def page() -> str:
    """The architecture page in Markdown."""
    there, slugs, uses = modules(), chapters(), _uses()
    lines = [
        "# The house",
        "",
        "<!-- Made by tools/architecture.py from the code; change it there. -->",
        "",
        "Which chapter is which folder? The package is built like the book: **a folder has its"
        " chapter's name**, and every module imports only what stands below it. So you can read it"
        " from the ground up and never meet a name that you do not know yet.",
        "",
        "![A house with a floor for each part of the book; arrows go down only.]"
        "(_static/architecture.svg)",
        "",
        "*Each box is a module or a folder; an arrow leads to what it imports. What is imported by"
        " way of something else has no arrow of its own, and no arrow points up: a test sees to"
        " it (`tests/test_layout.py`).*",
        "",
    ]
    for floor, rooms in reversed(_floors()):
        lines += [f"## {_title(floor)}", ""]
        taught = [slugs[slug] for slug in (floor, *ALSO.get(floor, ())) if slug in slugs]
        links = [f"[chapter {n}](chapters/{Path(file).name}.ipynb)" for n, file in taught]
        if links:
            *most, last = links
            taught_in = f"{', '.join(most)} and {last}" if most else last
            lines += [f"Taught in {taught_in}.", ""]
        lines += ["| module | what it is | imports from |", "|---|---|---|"]
        for room in rooms:
            listed = [room, *(f"{room}.{part}" for part in _parts(room))]
            for name in listed:
                path = there[f"ehrsynth.{name}"]
                used = ", ".join(f"`{n}`" for n in sorted(uses.get(room, ()))) or "nothing"
                used = used if name == room else ""
                lines.append(f"| `{name}` | {_first_line(path).replace('|', '/')} | {used} |")
        lines.append("")
    return "\n".join(lines)


def _parts(room: str) -> list[str]:
    """The modules of a folder, in the order of the house."""
    places = order()
    start = f"ehrsynth.{room}."
    inside = [name for name in modules() if name.startswith(start)]
    return [name.removeprefix(start) for name in sorted(inside, key=lambda n: places.get(n, -1))]


def _direct(uses: dict[str, set[str]]) -> dict[str, set[str]]:
    """The uses that are not already there by way of another room."""

    @cache
    def reach(room: str) -> frozenset[str]:
        return frozenset().union(*({other} | reach(other) for other in uses.get(room, ())))

    return {
        room: {o for o in others if not any(o in reach(p) for p in others if p != o)}
        for room, others in uses.items()
    }


# A width of three digits: two of four side by side are a number like a patient's to the guard.
WIDTH, LINE, GAP, BAND, BETWEEN = 980, 13, 32, 118, 15
# Of the letters of a room's name and of a part's, in pixels.
WIDE, NARROW = 6.2, 5.6


def picture() -> str:
    """The drawing as SVG: a row of boxes for each floor, the ground at the bottom."""
    floors = list(reversed(_floors()))
    boxes: dict[str, tuple[float, float, float, float]] = {}
    grounds, shapes, top = [], [], 14.0
    for floor, rooms in floors:
        parts = {room: _parts(room) for room in rooms}
        columns = {room: min(4, 1 + len(parts[room]) // 9) for room in rooms}
        rows = max(-(-len(p) // columns[r]) for r, p in parts.items())
        height = 26 + rows * LINE + (6 if rows else 0)
        share = {room: 1.2 + (1.4 * columns[room] if parts[room] else 0) for room in rooms}
        need = {room: _need(room, parts[room], columns[room]) for room in rooms}
        spare = WIDTH - BAND - 14 - BETWEEN * (len(rooms) - 1) - sum(need.values())
        left = float(BAND)
        title = _title(floor)
        grounds.append(
            f'<rect class="floor" x="4" y="{top - 8:.0f}" width="{WIDTH - 8}" '
            f'height="{height + 16:.0f}" rx="6"/>'
            f'<text class="title" x="14" y="{top + 16:.0f}">{html.escape(title)}</text>'
        )
        for room in rooms:
            most = max(need[room], 100 + 160 * columns[room] * bool(parts[room]))
            width = min(need[room] + spare * share[room] / sum(share.values()), most)
            own = 26 + -(-len(parts[room]) // columns[room]) * LINE + (6 if parts[room] else 0)
            boxes[room] = (left, top, width, own)
            shapes.append(_box(room, parts[room], columns[room], boxes[room]))
            left += width + BETWEEN
        top += height + GAP
    arrows = []
    for room, others in sorted(_direct(_uses()).items()):
        for other in sorted(others):
            if room in boxes and other in boxes:
                arrows.append(_arrow(boxes[room], boxes[other]))
    style = (
        "text{font:10px system-ui,sans-serif;fill:#1b1f24}.title{font-weight:600}"
        ".room{font-weight:600;font-family:ui-monospace,monospace}"
        ".part{font-family:ui-monospace,monospace;font-size:9px}"
        ".floor{fill:#eef2f6}.box{fill:#fff;stroke:#5b6b7a}"
        ".arrow{fill:none;stroke:#0072b2;stroke-opacity:.55;stroke-width:1.3}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top - 6:.0f}" '
        f'role="img" aria-label="The modules of ehrsynth and what they import">\n'
        f"<style>{style}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#0072b2"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="#fff"/>\n'
        + "\n".join([*grounds, *arrows, *shapes])
        + "\n</svg>\n"
    )


def _need(room: str, parts: list[str], columns: int) -> float:
    """The width in which a box has room for all its names."""
    longest = max(map(len, parts), default=0)
    return max(16 + WIDE * len(room), 14 + columns * (10 + NARROW * longest) if parts else 0)


def _box(room: str, parts: list[str], columns: int, box: tuple) -> str:
    left, top, width, height = box
    texts = [
        f'<rect class="box" x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="4"/>',
        f'<text class="room" x="{left + 8:.0f}" y="{top + 17:.0f}">{room}</text>',
    ]
    rows = -(-len(parts) // columns)
    for i, part in enumerate(parts):
        x = left + 14 + (i // max(rows, 1)) * (width - 14) / columns
        y = top + 36 + (i % max(rows, 1)) * LINE
        texts.append(f'<text class="part" x="{x:.0f}" y="{y:.0f}">{part}</text>')
    return "\n".join(texts)


def _arrow(start: tuple, end: tuple) -> str:
    """From the lower edge of one box to the upper edge of another; in a row, side to side."""
    if start[1] == end[1]:
        y, x1, x2 = start[1] + 13, start[0], end[0] + end[2]
        path = f"M{x1:.0f} {y:.0f}L{x2 + 1:.0f} {y:.0f}"
    else:
        x1, y1 = start[0] + start[2] / 2, start[1] + start[3]
        x2, y2 = end[0] + end[2] / 2, end[1]
        bend = (y2 - y1) / 2
        path = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} "
        path += f"{x2:.0f} {y2 - 1:.0f}"
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'


def stale() -> list[str]:
    """The files that no longer show the code as it is."""
    made = {PAGE: page(), PICTURE: picture()}
    return [
        f"{path.relative_to(ROOT)} is not what the code says; run python tools/architecture.py"
        for path, text in made.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Write the page and the picture, or check them."""
    if "--check" in sys.argv[1:]:
        found = [*problems(), *(" -> ".join(circle) for circle in circles())]
        found = found or stale()
        print("\n".join(found) or "Every module is in its room.")
        sys.exit(bool(found))
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
