"""The one error class for mistakes that a user can mend."""


class UserError(ValueError):
    """Says what was found, what was expected and what to do next; commands print it without a traceback."""
