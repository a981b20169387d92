"""The base class of every error that the user can correct."""


class UserError(Exception):
    """A user's mistake. The message is one sentence: what is wrong, and what would be right."""


class BrokenFileError(UserError, ValueError):
    """A file whose content is not what this project writes there."""
