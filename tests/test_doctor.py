"""The doctor names what is missing and what to do, and is content with this machine."""

import pytest
from typer.testing import CliRunner

from ehrsynth import cli, doctor


def by_name() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_this_machine_is_looked_at_without_a_change(tmp_path, monkeypatch):
    monkeypatch.setenv("EHRSYNTH_DATA_DIR", str(tmp_path))
    found = by_name()
    assert found["packages"].good and found["disk"].good
    assert "ehrsynth fetch mimic-iv-demo" in found["mimic-iv-demo"].advice
    assert not list(tmp_path.iterdir())


def test_a_missing_and_an_old_package_are_named_with_the_cure(monkeypatch):
    def version(name):
        if name == "torch":
            raise doctor.metadata.PackageNotFoundError
        return {"numpy": "1.2"}.get(name, "999.0")

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = by_name()
    assert not found["packages"].good
    assert not found["torch"].good and "evaluation does not" in found["torch"].found
    assert found["numpy"].found.startswith("is 1.2; >=1.26 is needed")
    assert found["numpy"].advice == 'pip install "numpy>=1.26"'
    assert "pandas" not in found


@pytest.mark.parametrize(("have", "good"), [(0.5, False), (50.0, True), (float("inf"), True)])
def test_too_little_memory_is_a_fault_and_not_knowing_is_none(have, good, monkeypatch):
    monkeypatch.setattr(doctor, "free_memory", lambda: have)
    finding = by_name()["memory"]
    assert finding.good is good and bool(finding.advice) is not good


def test_the_number_of_threads_is_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "threads: 3" in by_name()["processors"].found
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS=1" in by_name()["processors"].advice


@pytest.mark.parametrize("good", [True, False])
def test_the_command_fails_when_something_is_missing(good, monkeypatch):
    monkeypatch.setattr(
        doctor, "examine", lambda: [doctor.Finding("disk", good, "0.1 GB free", "choose another")]
    )
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert done.exit_code == (not good)
    assert "disk" in done.output and "choose another" in done.output
