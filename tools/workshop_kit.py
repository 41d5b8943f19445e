"""A folder for a stick, from which a class installs and learns without a network.

    python tools/workshop_kit.py --python 3.12 [--systems linux windows macos] [--out FOLDER]
    python tools/workshop_kit.py --check [01 05 09]       on Linux, as root or with unshare -r

`make workshop-kit` calls this after `make book`. It holds the wheels of the package and of all it
needs, for one version of Python on each system (processors only, no graphics cards), the
chapters, the public sample of the data, the built book and a page that says how to begin. Only
this step needs a network. On Linux the usual PyTorch is for graphics cards (gigabytes): set
PIP_EXTRA_INDEX_URL and UV_EXTRA_INDEX_URL to the address of its wheels for processors, which
its installation page says, or name a folder that holds them with --find-links (or, as pip does,
with PIP_FIND_LINKS). --check installs the kit that is there into a new environment and runs
chapters of it, each in an empty folder, in a network namespace that has no network.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import notebooks
from build_book import BUILD
from notebooks import ROOT

# uv's and pip's name of each system, oldest version that is served.
SYSTEMS = {
    "linux": ("x86_64-manylinux_2_28", ["manylinux_2_28_x86_64", "manylinux2014_x86_64"]),
    "windows": ("windows", ["win_amd64"]),
    "macos": ("aarch64-apple-darwin", ["macosx_14_0_arm64", "macosx_11_0_arm64"]),
}
SMALLER = "tools/workshop_kit.py says at its top how the kit gets the small one."
# What a notebook needs around it.
AROUND = ["jupyterlab>=4", "ipykernel"]
# Of the version that is asked for, this patch or a newer one.
PATCH = ".5"
BEGIN = """# ehrsynth on a stick

You need Python {python} ({python}{patch} or newer), 64 bit, and no network. Copy this folder to
your disk first.

Linux and macOS, in a terminal in this folder:

    python{python} -m venv ehrsynth-venv
    ehrsynth-venv/bin/pip install --no-index --find-links wheels/{unix} "ehrsynth[gan]" jupyterlab
    ehrsynth-venv/bin/ehrsynth doctor
    ehrsynth-venv/bin/jupyter lab chapters/01-why-synthetic-data.ipynb

(on macOS wheels/macos in place of wheels/linux; Apple silicon only)

Windows, in PowerShell in this folder:

    py -{python} -m venv ehrsynth-venv
    ehrsynth-venv\\Scripts\\activate
    pip install --no-index --find-links wheels\\windows "ehrsynth[gan]" jupyterlab
    ehrsynth doctor
    jupyter lab chapters\\01-why-synthetic-data.ipynb

To teach: open slides/01-why-synthetic-data.html and its neighbors in a browser; n shows the notes.

To read only: open book/index.html in a browser. Links that lead out of the book need a network, and
so does `ehrsynth fetch`; the simulated hospital of the chapters does not.
"""


def run(*command: str | Path) -> None:
    """Run a command; what it said is shown when it fails."""
    # All versions are chosen by then: what this machine pins is not for the others.
    environment = os.environ | {"PIP_CONSTRAINT": os.devnull}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        told = [line for line in told if not line.startswith("WARNING")][-12:]
        raise SystemExit("\n".join([f"{Path(command[0]).name} {command[1]} failed:", *told]))


def own_wheel(folder: Path) -> Path:
    """The package itself, as a wheel."""
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("ehrsynth-*.whl"))


def wheels(system: str, python: str, wheel: Path, target: Path, links: list[str]) -> None:
    """Resolve for a system that may be another one than this, then fetch just that."""
    uv_name, platforms = SYSTEMS[system]
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(wheel, target)
    found = [word for link in links for word in ("--find-links", link)]
    with tempfile.TemporaryDirectory() as scratch:
        wanted, pinned = Path(scratch) / "wanted.in", Path(scratch) / "pinned.txt"
        wanted.write_text("\n".join([f"ehrsynth[gan] @ {wheel.as_uri()}", *AROUND]))
        run(
            *(sys.executable, "-m", "uv", "pip", "compile", "-q", wanted, "-o", pinned),
            *("--python-version", python + PATCH, "--python-platform", uv_name, "--no-header"),
            *("--only-binary", ":all:", "--index-strategy", "unsafe-best-match"),
            *(
                "-c",
                ROOT / "constraints.txt",
                "--no-annotate",
                *(found if system == "linux" else []),
            ),
        )
        lines = [line for line in pinned.read_text().splitlines() if "ehrsynth" not in line]
        if any(line.startswith("nvidia-") for line in lines):
            print(f"  {system} gets PyTorch for graphics cards, gigabytes: {SMALLER}", flush=True)
        pinned.write_text("\n".join(lines))
        run(
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-r", pinned),
            *("-d", target, "--only-binary", ":all:", "--python-version", python + PATCH),
            *(word for name in platforms for word in ("--platform", name)),
            *(found if system == "linux" else []),
        )


def without_network(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess:
    """Run a command in `folder` where there is no network and nothing of this repository."""
    kept = ("EHRSYNTH", "PYTHON", "PIP_", "UV_", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(kept)}
    environment |= {"HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1"}
    inner = 'ip link set lo up && exec "$@"'  # a kernel talks to its notebook by the loopback
    namespace = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    return subprocess.run(
        [*namespace, "sh", "-c", inner, "sh", *map(str, command)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def check(kit: Path, names: list[str]) -> int:
    """Install the kit without a network and run these chapters; says what did not work."""
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        pip = [here / "venv" / "bin" / "pip", "install", "-q", "--no-index", "--find-links"]
        steps = {
            "a new environment": [sys.executable, "-m", "venv", here / "venv"],
            "the packages": [*pip, kit / "wheels" / "linux", "ehrsynth[gan]", "jupyterlab"],
            "ehrsynth doctor": [here / "venv" / "bin" / "ehrsynth", "doctor"],
        }
        for path in notebooks.chapters(names, kit / "chapters"):
            folder = here / path.stem
            folder.mkdir()
            shutil.copy2(path, folder)
            steps[path.stem] = [
                *(here / "venv" / "bin" / "jupyter", "nbconvert", "--execute", "--to", "notebook"),
                *("--output", "done", "--ExecutePreprocessor.timeout=-1", folder / path.name),
            ]
        for name, command in steps.items():
            folder = here / name if (here / name).is_dir() else here
            started = time.perf_counter()
            done = without_network(command, folder)
            if done.returncode:
                told = (done.stderr or done.stdout).strip().splitlines()[-12:]
                raise SystemExit("\n".join([f"Without a network {name} failed:", *told]))
            print(f"  {name}: {time.perf_counter() - started:.0f} s without a network", flush=True)
    return 0


def size(folder: Path) -> str:
    """The size of a folder, in words."""
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{total / 1e6:,.0f} MB"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    parser.add_argument("--python", default=own, help=f"version for everybody (default {own})")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=BUILD / "workshop-kit")
    parser.add_argument("--find-links", nargs="*", default=links, metavar="FOLDER")
    parser.add_argument("--check", nargs="*", metavar="CHAPTER")
    return parser.parse_args(words)


def main() -> int:
    given = arguments()
    if given.check is not None:
        return check(given.out.resolve(), given.check or ["01", "05", "09"])
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = own_wheel(Path(scratch))
        for system in given.systems:
            target = given.out / "wheels" / system
            shutil.rmtree(target, ignore_errors=True)
            wheels(system, given.python, wheel, target, given.find_links)
            print(f"  wheels for {system}: {size(target)}", flush=True)
    for name, source in (("chapters", ROOT / "book" / "chapters"), ("data", ROOT / "data")):
        shutil.rmtree(given.out / name, ignore_errors=True)
        shutil.copytree(source, given.out / name, ignore=shutil.ignore_patterns("work", ".*"))
    for also in notebooks.ALSO:
        shutil.copy2(also, given.out / "chapters")
    shutil.rmtree(given.out / "book", ignore_errors=True)
    if (BUILD / "html" / "index.html").exists():
        shutil.copytree(BUILD / "html", given.out / "book")
    for made in (BUILD / "ehrsynth.pdf", *(BUILD / "slides").glob("*.html")):
        if made.exists():
            (given.out / "slides").mkdir(exist_ok=True)
            shutil.copy2(made, given.out / ("slides" if made.suffix == ".html" else "."))
    begin = BEGIN.format(python=given.python, patch=PATCH, unix="linux")
    (given.out / "BEGIN-HERE.md").write_text(begin, encoding="utf-8")
    print(f"The kit is in {given.out}: {size(given.out)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
