"""What can go wrong with a pool."""


class PoolNotFound(Exception):
    """No pool of that name exists (any more)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"pool {name!r} does not exist; create it with CreatePool")
        self.name = name


class PoolExists(Exception):
    """A pool of that name exists already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"pool {name!r} exists already; delete it first, or choose another name")
        self.name = name


class StoreUnavailable(Exception):
    """The store cannot be read or written at the moment, or what it holds cannot be read at all."""


class StoreRepaired(StoreUnavailable):
    """Damage was found and put aside. Handles on the pool are void: open it again."""
