"""The base of every error that a user can put right."""


class UserError(Exception):
    """A user's mistake; the message is one sentence: what is wrong, and what would be right."""
