"""An environment with Google Colab's package versions, for `make test-colab`.

python tools/colab.py install    what Colab ships, then the package, then the test tools
python tools/colab.py verify     installing the package must not have changed what Colab ships
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "tests" / "colab-constraints.txt"
# The tests' tools that Colab need not have.
TOOLS = ["pytest", "pytest-xdist", "nbval", "papermill", "ipykernel", "hypothesis", "pyyaml"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Name and version of what Colab ships, as far as it concerns this package."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines)
    return {canonical(hit[1]): hit[2] for hit in found if hit}


def installed() -> dict[str, str]:
    return {canonical(d.metadata["Name"]): d.version.split("+")[0] for d in distributions()}


def changed(wanted: dict[str, str], present: dict[str, str]) -> list[str]:
    """What is installed in another version than Colab's, as sentences."""
    return [
        f"{name} is {present[name]}, Colab has {version}"
        for name, version in sorted(wanted.items())
        if name in present and present[name] != version
    ]


def pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True
    )


def needed() -> list[str]:
    """The names of what the package needs, PyTorch among it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["gan"]]
    return [re.match(r"[\w.-]+", line)[0] for line in lines]


def install() -> None:
    pip("install", "-qq", "-c", str(CONSTRAINTS), *needed())
    # As a reader's first cell does it: without constraints.
    pip("install", "-qq", "-e", f"{ROOT}[gan]")
    verify()
    pip("install", "-qq", "-c", str(CONSTRAINTS), *TOOLS)


def verify() -> None:
    wrong = changed(pinned(), installed())
    if wrong:
        raise SystemExit("Installing ehrsynth changed what Colab ships: " + "; ".join(wrong) + ".")
    print(f"Installing ehrsynth changed none of the {len(pinned())} packages that Colab ships.")


if __name__ == "__main__":
    if sys.argv[1:] not in (["install"], ["verify"]):
        sys.exit(__doc__)
    {"install": install, "verify": verify}[sys.argv[1]]()
