"""Files are whole or not there, and errors name them."""

import pandas as pd
import pytest

from ehrsynth.errors import InputError
from ehrsynth.files import atomic_path, read_json, read_table, write_json, write_table


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz"])
def test_round_trip(tmp_path, name):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    write_table(table, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    write_json({"old": 1}, path)
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write .*file"):
        write_json({}, tmp_path / "file" / "a.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"not parquet", "a.parquet cannot be read"),
        ("a.csv", b"", "a.csv cannot be read"),
        ("a.csv.gz", b"not gzip", "a.csv.gz cannot be read"),
        ("a.xlsx", b"", "unknown ending"),
        ("a.csv", b"x,y\n1\n1,2,3,4\n", "a.csv cannot be read"),
        ("a.csv", b"x\n\xff\xfe\xfa\n", "a.csv cannot be read"),
    ],
)
def test_unreadable_tables(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "no.csv")


def test_broken_json(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="a.json is not readable JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="is not readable JSON: .*too long"):
        read_json(tmp_path / f"{'a' * 300}.json")
