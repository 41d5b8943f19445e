"""What a command may do with a file from elsewhere."""

SECRET = "kept-in-the-house-4711"


def refused(place, answer, silent=False):
    """What a command may do with a hostile file."""
    said = answer["said"]
    assert answer["code"] == 2, answer
    assert "Traceback" not in said and "OPENED" not in said and SECRET not in said, said
    lines = [line for line in said.splitlines() if line.startswith(("Error:", "Usage:"))]
    assert len(lines) == 1 and len(said) < 6_000, said
    assert answer["seconds"] < 20 and answer["gb"] < 2, answer
    for path in place.rglob("*"):
        if path.is_file() and path.parts[-2] in ("out", "more") and path.stat().st_size < 10**7:
            assert SECRET.encode() not in path.read_bytes()
    return lines[0]
