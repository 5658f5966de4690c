"""Errors that a user can fix. Every message is one line: the value, the limit, the remedy."""


class MmgenError(Exception):
    """Base of all errors that a user can act on: exit code 2 in the CLI, a 4xx status in the API."""

    status = 400  # HTTP status of the API


class BadRequest(MmgenError):
    """An argument is out of its range."""


class NotFound(MmgenError):
    """A name, path or id that does not exist."""

    status = 404


class Unauthorized(MmgenError):
    """The API key is missing or unknown."""

    status = 401


class Forbidden(MmgenError):
    """The API key lacks the permission."""

    status = 403


class Clash(MmgenError):
    """The name is already taken."""

    status = 409


class Busy(MmgenError):
    """A resource is in use; a retry later can succeed."""

    status = 429


class TooLarge(MmgenError):
    """Exceeds the device's memory or a fixed limit."""

    status = 413


class TooLong(TooLarge):
    """More tokens than a model reads."""


class ConfigError(MmgenError):
    """A configuration that cannot be understood."""


class UnreadableFile(MmgenError):
    """A file that no loader can turn into text."""

    status = 422


class StoreError(MmgenError):
    """A store that cannot be opened or written."""

    status = 409


class BadWeights(MmgenError):
    """Weights that are missing, damaged or of another shape than their configuration says."""

    status = 422


class PluginError(MmgenError):
    """A plugin that could not be loaded."""


class Cancelled(MmgenError):
    """The caller cancelled the request."""

    status = 499


class DeadlineExceeded(MmgenError):
    """The request's deadline passed before it was done."""

    status = 504


class Closed(MmgenError):
    """The engine or store was closed and takes no new work."""

    status = 503


class Stuck(MmgenError):
    """A step hangs; the engine takes no new work until it returns."""

    status = 503


class Unreachable(StoreError):
    """A store's server that does not answer; a retry later can succeed."""

    status = 503


class NoSpace(StoreError):
    """The disk is full."""

    status = 507


class JobFailed(MmgenError):
    """The runner raised an unexpected error on this job; the cause is chained."""

    status = 500


def out_of_memory(error: BaseException) -> bool:
    """Whether the error is out of memory; checked by class name, without importing torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def nearest(name: str, names: list[str]) -> str:
    """`' (did you mean "x"?)'` for the name closest to `name`, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f' (did you mean "{close[0]}"?)' if close else ""
