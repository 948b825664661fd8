"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
    """A user's mistake, told in one line: the rule, the value, the alternatives.

    The command line prints it without a traceback and exits with code 2.
    """
