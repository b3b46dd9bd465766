"""The one error a user is meant to read."""


class InputError(ValueError):
    """Bad input from the user: the message names the file or key, the value and what is allowed."""
