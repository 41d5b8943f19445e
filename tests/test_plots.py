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
from known_truth import population
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ehrsynth import plots
from ehrsynth.errors import InputError
from ehrsynth.schema import Schema


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


def test_categories_draw_the_shares(tables):
    ax = plots.categories(*tables, "race")
    widths = [bar.get_width() for bar in ax.containers[0]]
    assert widths[0] == pytest.approx(100 * (tables[0]["race"] == "WHITE").mean())


def test_correlation_panels_are_the_matrices_and_their_difference(tables):
    figure = plots.correlations(*tables, columns=["age", "phe_1.9", "phe_2.9"])
    real, synthetic, difference = [ax.images[0].get_array() for ax in figure.axes[:3]]
    expected = tables[0][["age", "phe_1.9", "phe_2.9"]].astype(float).corr().to_numpy()
    np.testing.assert_allclose(real, expected)
    np.testing.assert_allclose(difference, synthetic - real)


def test_missingness_draws_only_columns_with_missing_values(tables):
    ax = plots.missingness(*tables)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["BMI", "Systolic", "Diastolic"]
    first = ax.containers[0][0].get_width()
    assert first == pytest.approx(100 * tables[0]["bmi"].isna().mean())


def test_history_draws_the_loss_columns():
    table = pd.DataFrame(
        {"step": [1, 2, 3], "critic_loss": [3.0, 2, 1], "quality": [np.nan, 0.5, np.nan]}
    )
    ax = plots.history(table)
    assert [line.get_label() for line in ax.lines] == ["critic loss"]
    ax = plots.history(table, columns=["quality"])
    assert list(ax.lines[0].get_xdata()) == [2]


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


def test_overview_puts_the_value_on_its_way_from_worst_to_best():
    frame = pd.DataFrame(
        {
            "name": ["a", "b"], "family": ["fidelity", "fidelity"],
            "form": ["corrected", "corrected"], "value": [0.75, 5.0], "ci_low": [0.7, np.nan],
            "ci_high": [0.8, np.nan], "best": [1.0, 0.0], "worst": [0.5, 10.0],
            "share": [0.5, 0.5],
        }
    )  # fmt: skip
    ax = plots.overview(frame, family="fidelity")
    assert [x for x, _ in ax.collections[-1].get_offsets()] == [0.5, 0.5]
    assert "Fidelity" in ax.get_title(loc="left")


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
    table = pd.DataFrame({"a": [0, 1] * 10, "b": [1, 0] * 10})
    for figure in (plots.distributions(table, table), plots.correlations(table, table)):
        figure.canvas.draw()
    plots.missingness(table, table).figure.canvas.draw()


def test_colors_are_the_same_everywhere_and_backgrounds_opaque(tables):
    ax = plots.categories(*tables, "sex")
    assert (
        matplotlib.colors.to_hex(ax.containers[0][0].get_facecolor()).upper()
        == (plots.COLORS["real"])
    )
    assert ax.figure.get_facecolor()[3] == 1


def test_interactive_drawing_that_the_first_figure_switches_on_stays_on(tables, monkeypatch):
    # As the backend of notebooks does; otherwise later figures miss their cell.
    subplots = plt.subplots

    def first_figure(*given, **options):
        plt.ion()
        return subplots(*given, **options)

    monkeypatch.setattr(plt, "subplots", first_figure)
    plt.ioff()
    plots.missingness(*tables)
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
    page = plots.slider(map(drawn, (1, 2, 3)), labels, alts, "The match").data
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
        return plots.slider(map(drawn, numbers), ["a"] * len(numbers), ["b"] * len(numbers)).data

    def names(text):
        return set(re.findall(r'id="([^"]*)"', text))

    assert page(1, 2) == page(1, 2)
    assert len(names(page(1, 2))) == 2
    assert not names(page(1, 2)) & names(page(1, 3))


def test_slider_shows_text_as_text():
    nasty = """</script><b>"1" & '2'</b>"""
    page = plots.slider(map(drawn, (1, 2)), [nasty, "end"], ["a", nasty], nasty).data
    assert frames_of(page)[0][:2] == [nasty, "a"]
    assert page.count("</script>") == 1
    assert page.count("<b>") == 1
    assert page.count("&lt;/script&gt;&lt;b&gt;&quot;1&quot; &amp;") == 2  # name and last alt text


def test_slider_of_one_frame_has_nothing_in_the_script():
    assert frames_of(plots.slider([drawn(1)], ["a"], ["b"]).data)[0][:2] == ["a", "b"]


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
        plots.slider(map(drawn, (1, 2)), labels, alts)


def test_slider_asks_for_a_frame():
    with pytest.raises(InputError, match="at least one frame"):
        plots.slider([], [], [])
