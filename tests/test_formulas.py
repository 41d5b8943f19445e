"""What a spreadsheet would compute is text in a CSV, and is read back as it was."""

import pandas as pd
import pytest

from ehrsynth.errors import InputError
from ehrsynth.files import escaped, rewritten, unescape
from ehrsynth.sources.flat import form
from ehrsynth.sources.flat.file import read_file

FORMULAS = ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(A1)", '=HYPERLINK("x")', "\tx=1", "-Rh"]
PLAIN = ["-5", "+3.5", "-1,234.5", "-1e-5", "-", "=", "a=b", "'quoted'", "2-3", "-12%", ""]


def test_a_formula_gets_an_apostrophe_and_a_number_none():
    table = pd.DataFrame({"=a": [*FORMULAS, *PLAIN, None], "n": -1.5})
    made = escaped(table)
    assert list(made) == ["'=a", "n"]
    assert made["'=a"].tolist()[: len(FORMULAS)] == [f"'{one}" for one in FORMULAS]
    assert made["'=a"].tolist()[len(FORMULAS) : -1] == PLAIN
    pd.testing.assert_frame_equal(rewritten(made, unescape), table)


@pytest.mark.parametrize("raw", [False, True])
def test_a_file_is_read_back_as_it_was_written(tmp_path, raw):
    table = pd.DataFrame({"=a": pd.Categorical(FORMULAS * 2), "b": range(14)})
    form.write(table, tmp_path / "t.csv", raw=raw)
    text = (tmp_path / "t.csv").read_text()
    assert text.startswith("=a,b" if raw else "'=a,b")
    assert ("\n=1+1" in text) == raw and ("\n'=1+1" in text) != raw
    back = read_file(tmp_path / "t.csv")
    assert list(back.frame) == ["=a", "b"] and back.dialect.names == ("=a", "b")
    assert back.frame["=a"].tolist() == FORMULAS * 2


def test_control_characters_in_names_are_refused(tmp_path):
    for name in ("a\x1b[2J", "a\x07", "\u202ea"):
        pd.DataFrame({"b": [1], name: [1]}).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(InputError, match="control character in the name of column 2"):
            read_file(tmp_path / "t.csv")
