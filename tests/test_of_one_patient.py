"""What one patient alone would decide: steps and decimals, shares, means, cuts, what errors say."""

import base64
import io
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ehrsynth import kinds, plots, protection, terminal
from ehrsynth.errors import InputError
from ehrsynth.evaluation.judge import evaluate
from ehrsynth.evaluation.setting import subgroups
from ehrsynth.preprocessing.encode import PREPROCESSOR_FILE, Preprocessor
from ehrsynth.schema import Column, Schema
from ehrsynth.sources.flat import table
from ehrsynth.traces import content_of

EXTREME = 98_231.77


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"died": rng.integers(0, 2, 300), "five": rng.integers(1, 20, 300) * 5.0,
         "score": rng.normal(1, 0.3, 300).round(1)}
    )  # fmt: skip


@pytest.mark.parametrize("odd", [873_462.0, 52.5, 53.1234])
def test_the_step_and_decimals_of_numbers_are_those_of_all_but_a_few(people, odd):
    plain = people["five"]
    few, many = (pd.concat([plain, pd.Series([odd] * n)]) for n in (4, 5))
    assert kinds.step(few.to_numpy()) == kinds.step(plain.to_numpy()) == 5
    assert kinds.decimals(few) == kinds.decimals(plain) == 0
    assert kinds.step(many.to_numpy()) != 5
    assert kinds.decimals(many) == kinds.decimals(pd.Series([odd] * 5))


def test_a_share_does_not_tell_how_few_there_are(people):
    assert [protection.percent(n, 490) for n in (0, 1, 5, 6, 489, 490)] == [0, 1, 1, 1.2, 99, 100]
    people.loc[3, "score"] = np.nan
    listed = table.load(people, outcome="died")["columns"].set_index("column")
    assert listed.loc["score", "missing (%)"] == 1.7  # as of five


def test_how_few_are_missing_is_not_in_the_model(people, tmp_path):
    Preprocessor().fit(table.load(people, outcome="died")["table"]).save(tmp_path)
    assert "report" not in json.loads((tmp_path / PREPROCESSOR_FILE).read_text())


def test_of_the_mean_of_a_column_an_extreme_value_cannot_be_solved_for(people):
    people.loc[7, "score"] = EXTREME
    train = table.load(people, outcome="died")["table"]
    made = train.assign(score=train["score"] * 0 + 3)
    reports = evaluate(train, train.sample(90, random_state=1), made, profile="fast")
    named = [one for one in reports.farthest["columns"] if one["column"] == "score"]
    assert named and all(one["real"] < 2 for one in named)


def test_a_picture_does_not_reach_to_an_extreme_value(people):
    people.loc[7, "score"] = EXTREME
    train = table.load(people, outcome="died")["table"]
    figure = plots.distributions(train, train[train["score"] < 100])
    at = [ax.get_xlabel() for ax in figure.axes].index("score")
    assert figure.axes[at].get_xlim()[1] < 5
    plt.close(figure)


def test_a_survival_curve_ends_where_nobody_is_alone():
    rng = np.random.default_rng(0)
    columns = Column("died", "binary", "event"), Column("years", "continuous", "time")
    drawn = [
        Schema(columns).attach(pd.DataFrame({"died": rng.integers(0, 2, 300).astype("uint8"),
                                             "years": rng.uniform(0, 9, 300)}))
        for _ in range(3)
    ]  # fmt: skip
    drawn[0].loc[7, "years"] = 61.0
    curve = plots.survival(dict(zip(("train", "holdout", "synthetic"), drawn, strict=True)))
    assert all(8 < line.get_xdata().max() < 9 for line in curve.get_lines())
    plt.close(curve.figure)


def test_groups_begin_at_nobodys_number():
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"income": rng.uniform(1e4, 9e4, 300).round(2)})
    schema = Schema((Column("income", "continuous", "demographic"),))
    cuts = {float(word) for name in subgroups(schema, people, people) for word in name.split()
            if word[0].isdigit()}  # fmt: skip
    assert len(cuts) == 2 and not cuts & set(people["income"])
    assert all(cut == float(f"{cut:.4g}") for cut in cuts)


def test_days_after_2262_are_read_or_refused_in_a_sentence(people):
    days = pd.Series(pd.date_range("2015-01-01", periods=300).strftime("%Y-%m-%d"), dtype=object)
    days[7] = "2287-04-09"
    if int(pd.__version__.partition(".")[0]) < 3:  # counts nanoseconds, which end in 2262
        with pytest.raises(InputError, match="another text in row 8") as refused:
            table.load(people.assign(seen=days), outcome="died")
        assert "2287" not in str(refused.value)
        return
    read = table.load(people.assign(seen=days), outcome="died")
    assert Schema.of(read["table"])["seen"].unit == "days since 2015-01-01"
    assert read["table"]["seen"][7] == 99_444


def test_an_unforeseen_error_does_not_quote_what_a_library_says(capsys):
    with pytest.raises(SystemExit) as end, terminal.one_sentence():
        try:
            raise KeyError("Zyxquorbel")
        except KeyError as error:
            raise OverflowError(f"{EXTREME} of Zyxquorbel") from error
    said = capsys.readouterr().err
    assert end.value.code == 1 and "OverflowError" in said and __file__ in said
    assert str(EXTREME) not in said and "of Zyxquorbel\n" not in said


@pytest.mark.parametrize("title", ["Zyxquorbel", "Zyxquorbel Hospice"])
def test_the_checksum_behind_a_text_of_a_picture_is_no_part_of_its_last_word(title):
    picture = io.BytesIO()
    plt.figure(figsize=(1, 1)).savefig(picture, format="png", metadata={"Title": title})
    page = f'<img src="data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}">'
    words = content_of("report.html", page.encode()).text.replace("\0", " ").split("\n")
    assert any(word.endswith(title) for word in words)
