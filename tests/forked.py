"""Runs commands of ``ehrsynth`` one after the other, each in a process of its own.

Importing takes a second, so it is done once: every command is a fork of this process. It reads
lists of arguments, a line of JSON each, and answers each with a line: exit code, what was said,
seconds of the processor, peak memory in GB, and which files of a folder were opened.
"""

import json
import os
import resource
import signal
import sys
import tempfile

import ehrsynth as es
from ehrsynth import __main__ as command
from ehrsynth import cli, pipeline, stream  # noqa: F401 (imported before the fork)
from ehrsynth.guarantee import run  # noqa: F401
from ehrsynth.sources import omop  # noqa: F401

SECONDS = 25


def child(arguments: list[str], said: int) -> None:
    os.dup2(said, 1)
    os.dup2(said, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    signal.alarm(6 * SECONDS)  # by the clock, for what waits; a machine may be busy

    def note(event: str, about: tuple) -> None:
        if event == "open" and isinstance(about[0], str) and "secret" in about[0]:
            os.write(2, b"OPENED THE SECRET\n")

    sys.addaudithook(note)
    sys.argv = ["ehrsynth", *arguments]
    code = 0
    try:
        command.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    _ = es.EMRWGAN
    for line in sys.stdin:
        with tempfile.TemporaryFile() as said:
            process = os.fork()
            if not process:
                child(json.loads(line), said.fileno())
            _, status, used = os.wait4(process, 0)
            said.seek(0)
            answer = {
                "code": os.waitstatus_to_exitcode(status),
                "said": said.read().decode(errors="replace"),
                "seconds": used.ru_utime + used.ru_stime,
                "gb": used.ru_maxrss * 1024 / 1e9,
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
