"""The errors a user is meant to read."""


class InputError(ValueError):
    """Bad input from the user: the message names the file or key, the value and what is allowed."""


class OutputError(OSError):
    """A result that cannot be written: the message names the file, the reason and what to do."""
