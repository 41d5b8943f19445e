"""The one kind of error a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, column, row or value and says
    what to do. The command line prints it without a traceback and exits with code 2.
    """


class ValueFault(InputError):
    """A file whose form is right holds a value of the wrong kind."""
