"""The root of every error that a user may see. Subclasses take data and build the sentence: what, which, consequence, what to do."""


class PlatformError(Exception):
    """Something a user can mend; its message is an instruction."""
