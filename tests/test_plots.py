"""Pictures show the numbers they claim to show."""

import base64
import io
import json
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import described
from known_truth import population
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ehrsynth import plots
from ehrsynth.errors import InputError
from ehrsynth.schema import Schema
from ehrsynth.slider import slider


@pytest.fixture(scope="module")
def tables():
    return population(400, seed=1), population(400, seed=2)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_prevalence_draws_each_code_at_its_two_prevalences(tables):
    real, synthetic = tables
    ax = plots.prevalence(real, synthetic)
    points = ax.collections[-1].get_offsets()
    names = Schema.of(real).of_kind("binary")
    assert len(points) == len(names)
    i = names.index("phe_649")
    assert list(points[i]) == pytest.approx([real["phe_649"].mean(), synthetic["phe_649"].mean()])


def test_prevalence_names_a_code_that_is_far_off(tables):
    real, synthetic = tables[0], tables[1].copy()
    synthetic["phe_3.9"] = (np.arange(len(synthetic)) % 10 > 0).astype("uint8")
    texts = [t.get_text() for t in plots.prevalence(real, synthetic).texts]
    assert "Disease 3" in texts


def test_prevalence_shows_a_code_that_never_occurs(tables):
    real, synthetic = tables[0], tables[1].assign(**{"phe_5.9": np.uint8(0)})
    points = plots.prevalence(real, synthetic).collections[-1].get_offsets()
    assert points[:, 1].min() == pytest.approx(0.5 / len(synthetic))


def test_distribution_panels_have_units_and_sum_to_100_percent(tables):
    figure = plots.distributions(*tables)
    assert isinstance(figure, Figure)
    labels = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert labels == ["Age (years)", "BMI (kg/m2)", "Systolic (mmHg)", "Diastolic (mmHg)"]


def test_monitor_marks_the_look_that_is_kept():
    table = pd.DataFrame(
        {
            "step": [20, 40, 60, 80], "critic_loss": [3.0, 2, 1, 0],
            "c2st": [np.nan, 0.6, 0.5, 0.7], "c2st_error": [np.nan, 0.1, 0.1, 0.1],
            "correlation": [np.nan, 0.1, 0.2, 0.3], "kept": [np.nan, 1, 1, 0],
        }
    )  # fmt: skip
    for ax in plots.monitor(table).axes:
        marked = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in marked] == [60]
    assert len(plots.monitor(table).axes[0].lines[0].get_xdata()) == 4


def test_every_function_returns_axes_or_figure_and_never_shows(tables):
    score = pd.Series({"phe_1.9": 0.3, "age": 0.2})
    truth = np.array([0, 1, 0, 1])
    drawn = [
        plots.importance(score, score / 2, Schema.of(tables[0])),
        plots.roc({"real": (truth, np.array([0.1, 0.9, 0.2, 0.8]))}),
        plots.distances(np.arange(9.0), np.arange(9.0) + 1),
    ]
    assert all(isinstance(ax, Axes) for ax in drawn)
    assert drawn[1].get_legend().get_texts()[0].get_text() == "real (AUROC 1.000)"


def test_tables_without_continuous_columns_still_draw():
    table = described(pd.DataFrame({"a": [0, 1] * 10, "b": [1, 0] * 10}))
    plots.distributions(table, table).canvas.draw()


def test_colors_are_the_same_everywhere_and_backgrounds_opaque(tables):
    figure = plots.distributions(*tables)
    outline = figure.axes[0].patches[-1].get_edgecolor()
    assert matplotlib.colors.to_hex(outline).upper() == plots.COLORS["synthetic"]
    ax = plots.importance(pd.Series({"age": 0.3}), pd.Series({"age": 0.2}), Schema.of(tables[0]))
    fill = ax.containers[0][0].get_facecolor()
    assert matplotlib.colors.to_hex(fill).upper() == plots.COLORS["real"]
    assert figure.get_facecolor()[3] == ax.figure.get_facecolor()[3] == 1


def test_interactive_drawing_that_the_first_figure_switches_on_stays_on(tables, monkeypatch):
    # As the backend of notebooks does; otherwise later figures miss their cell.
    subplots = plt.subplots

    def first_figure(*given, **options):
        plt.ion()
        return subplots(*given, **options)

    monkeypatch.setattr(plt, "subplots", first_figure)
    plt.ioff()
    plots.distributions(*tables)
    switched_on = plt.isinteractive()
    plt.ioff()
    assert switched_on


def drawn(number: int) -> Figure:
    figure, ax = plt.subplots(figsize=(4, 2))
    ax.plot([0, number])
    return figure


def frames_of(page: str) -> list[list[str]]:
    """Label, alt text and picture of every frame: those in the script, and the one shown."""
    (script,) = re.findall(r"const frames = (\[.*?\n\]);", page, re.S)
    (shown,) = re.findall(r'<img src="([^"]*)" alt="([^"]*)"', page)
    (label,) = re.findall(r"<b>(.*?)</b>", page)
    return [*json.loads(script), [label, shown[1], shown[0]]]


def test_slider_holds_every_frame_with_its_label_and_alt_text():
    labels = ["step 1", "step 2", "step 3"]
    alts = [f"A line that climbs to {n}" for n in (1, 2, 3)]
    page = slider(map(drawn, (1, 2, 3)), labels, alts, "The match").data
    frames = frames_of(page)
    assert [frame[:2] for frame in frames] == [
        list(pair) for pair in zip(labels, alts, strict=True)
    ]
    assert len({picture for _, _, picture in frames}) == 3
    for _, _, picture in frames:
        kind, content = picture.split(",")
        assert kind == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (600, 300)
    assert 'width="400" height="200"' in page  # shown smaller, for screens with small pixels
    assert 'type="range" min="0" max="2" value="2"' in page
    (tied,) = re.findall(r'<label for="([^"]*)"[^>]*>The match: ', page)
    assert f'<input id="{tied}"' in page
    assert "http" not in page
    assert not plt.get_fignums(), "a notebook would show the frames once more"


def test_slider_can_stand_beside_others_and_is_the_same_every_time():
    def page(*numbers):
        return slider(map(drawn, numbers), ["a"] * len(numbers), ["b"] * len(numbers)).data

    def names(text):
        return set(re.findall(r'id="([^"]*)"', text))

    assert page(1, 2) == page(1, 2)
    assert len(names(page(1, 2))) == 2
    assert not names(page(1, 2)) & names(page(1, 3))


def test_slider_shows_text_as_text():
    nasty = """</script><b>"1" & '2'</b>"""
    page = slider(map(drawn, (1, 2)), [nasty, "end"], ["a", nasty], nasty).data
    assert frames_of(page)[0][:2] == [nasty, "a"]
    assert page.count("</script>") == 1
    assert page.count("<b>") == 1
    assert page.count("&lt;/script&gt;&lt;b&gt;&quot;1&quot; &amp;") == 2  # name and last alt text


def test_slider_of_one_frame_has_nothing_in_the_script():
    assert frames_of(slider([drawn(1)], ["a"], ["b"]).data)[0][:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "alts", "said"),
    [
        (["a"], ["b", "c"], "2 frames, 1 labels and 2 alt texts"),
        (["a", "b"], ["c", "d", "e"], "2 frames, 2 labels and 3 alt texts"),
        (["a", "b"], ["c", ""], "2 frames, 2 labels and 1 alt texts"),
    ],
)
def test_slider_asks_for_a_label_and_an_alt_text_for_every_frame(labels, alts, said):
    with pytest.raises(InputError, match=said):
        slider(map(drawn, (1, 2)), labels, alts)


def test_slider_asks_for_a_frame():
    with pytest.raises(InputError, match="at least one frame"):
        slider([], [], [])


def test_weights_at_which_nobody_is_ranked_are_not_shaded():
    paths = pd.DataFrame({"a": [0.2, np.nan, np.nan], "b": [0.4, np.nan, 0.1]}, index=[0, 0.5, 1])
    shaded = [patch for patch in plots.sensitivity(paths).patches if patch.get_alpha() == 0.10]
    assert len(shaded) == 2
