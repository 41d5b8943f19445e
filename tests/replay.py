"""A pytest plugin: nbval judges what a notebook showed when it was run, and does not run it again.

    EHRSYNTH_EXECUTED=executed.ipynb pytest -p replay --nbval-lax committed.ipynb

In the place of nbval's kernel stands a player: asked to run a cell, it sends the messages of the
next cell of the executed copy that has this text. A cell that was not run so is an error.
"""

import os

import nbformat
from nbval import plugin


class Player:
    """What nbval asks of a kernel, answered from the notebook in ``EHRSYNTH_EXECUTED``."""

    def __init__(self, *_, **__) -> None:
        notebook = nbformat.read(os.environ["EHRSYNTH_EXECUTED"], as_version=4)
        self.cells = iter([cell for cell in notebook.cells if cell.cell_type == "code"])
        self.messages: list[dict] = []

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        cell = next((cell for cell in self.cells if cell.source == source), None)
        if cell is None or cell.execution_count is None:
            raise RuntimeError(f"the executed copy did not run this cell:\n{source}")
        said = [(output.output_type, output) for output in cell.outputs]
        self.messages = [
            {"msg_type": kind, "parent_header": {"msg_id": cell.id}, "content": content}
            for kind, content in [*said, ("status", {"execution_state": "idle"})]
        ]
        return cell.id

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        return self.messages.pop(0)

    def is_alive(self) -> bool:
        return True

    def await_reply(self, *_, **__) -> None: ...

    await_idle = stop = await_reply


plugin.RunningKernel = Player
