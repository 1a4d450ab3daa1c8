"""What Lance and the disk raise, in the words of the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.pools.errors import StoreRepaired, StoreUnavailable


class TableExists(FileExistsError):
    """There is a table already where one was to be made."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what Lance and the disk raise into StoreUnavailable."""
    try:
        yield
    except (TableExists, StoreRepaired):
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreUnavailable(f"{doing} failed: {error}") from error
    except BaseException as error:
        # A panic in Lance is no Exception, and its class cannot be imported.
        if type(error).__name__ == "PanicException":
            raise StoreUnavailable(f"{doing} failed: {error}") from None
        raise
