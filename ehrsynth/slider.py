"""A film of pictures in a page, moved by the reader's hand."""

import base64
import hashlib
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path
from string import Template

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from .errors import InputError
from .plots import BACKGROUND, COLORS, INK

_SHARPNESS = 1.5  # pixels of a picture for one of the page
# The last frame stands in the page itself, the others in the script: where scripts are not run
# (print, GitHub, an untrusted notebook) there is one picture and no dead control.
_SLIDER = Template(Path(__file__).with_name("slider.html").read_text(encoding="utf-8"))


def slider(
    frames: Iterable[Figure], labels: Iterable[str], alts: Iterable[str], name: str = "Training"
):
    """A film that the reader moves by hand, all inside the HTML: a picture, and a slider below it.

    Parameters
    ----------
    frames : iterable of Figure
        All of one size; they are closed. Of a generator, one at a time is in memory.
    labels, alts : iterable of str
        What the slider says at each frame, and what is to be seen in it for who cannot see it.
    name : str
        What the slider moves through.

    Returns
    -------
    IPython.display.HTML
    """
    from IPython.display import HTML

    pictures, labels, alts = [_png(figure) for figure in frames], [*labels], [*alts]
    if not pictures or not len(pictures) == len(labels) == len(alts) or not all(labels + alts):
        raise InputError(
            "A slider needs at least one frame, each with a label and an alt text; there are "
            f"{len(pictures)} frames, {len([*filter(None, labels)])} labels and "
            f"{len([*filter(None, alts)])} alt texts."
        )
    rows = [
        [label, alt, "data:image/png;base64," + base64.b64encode(png).decode()]
        for label, alt, (png, _) in zip(labels, alts, pictures, strict=True)
    ]
    width, height = pictures[-1][1]
    label, alt, src = (html.escape(text) for text in rows[-1])
    number = hashlib.sha256(json.dumps([name, *rows]).encode()).hexdigest()[:8]
    page = _SLIDER.substitute(
        # In letters only: eight digits would look like a patient's number.
        id="slider-" + number.translate(str.maketrans("0123456789", "ghijklmnop")),
        name=html.escape(name), label=label, alt=alt, src=src,
        width=width, height=height, last=len(rows) - 1,
        # In a script, "</script>" would end it: no angle bracket is left there.
        frames=",\n".join(json.dumps(row).replace("<", "\\u003c") for row in rows[:-1]),
        background=BACKGROUND, ink=INK, accent=COLORS["real"],
    )  # fmt: skip
    return HTML(page)


def _png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    """The figure as a small PNG with 64 colors, and the size to show it in; closes the figure."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_SHARPNESS * figure.dpi, bbox_inches=None)
    plt.close(figure)  # or the notebook would show it once more
    picture = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    width, height = picture.size
    return small.getvalue(), (round(width / _SHARPNESS), round(height / _SHARPNESS))
