"""What the store needs of the place its pools live in: a folder on a disk, or an object store."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol


class Site(Protocol):
    """Where one pool lives. Ends with its pool: a pool created later under the same name is another site."""

    @property
    def uri(self) -> str:
        """Where the pool's tables are, as Lance takes it."""

    def alive(self) -> bool:
        """Tells whether the pool is still there. Costs microseconds on a disk."""

    def shared(self) -> AbstractContextManager[None]:
        """Holds the pool against deletion and repair while writing. Raises PoolNotFound."""

    def newest(self, table: str, version: int) -> int | None:
        """Returns the newest version of a table, given one that was seen (0 for none).

        None means that this place has no quicker way than asking Lance. Raises PoolNotFound.
        """

    def sync(self, table: str, files: Iterable[str]) -> None:
        """Makes data files of a table survive a loss of power."""

    def sync_version(self, table: str, version: int) -> None:
        """Makes a version of a table survive a loss of power."""

    def torn(self, table: str, version: int) -> bool:
        """Tells whether a version's manifest is cut short or blank, as a loss of power leaves it."""

    def quarantine(self, table: str, readable: Callable[[int], bool]) -> None:
        """Puts the newest versions aside that cannot be read, if an older one can.

        Raises:
            StoreRepaired: If versions were put aside.
            StoreUnavailable: If no version can be read, or this place cannot put them aside.
        """

    def sweep(self, table: str) -> None:
        """Removes what writers left that ended in the middle of a file."""


class Place(Protocol):
    """Where pools live."""

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted."""

    def create(self, name: str, build: Callable[[str], None]) -> None:
        """Makes a pool appear at once and durably, or not at all.

        `build` is called with the address of a folder to write the pool's tables to, the items last; it raises
        FileExistsError when there are items already.

        Raises:
            PoolExists: If there is a pool of that name.
        """

    def delete(self, name: str) -> bool:
        """Makes a pool vanish at once, then removes what it held. Returns whether there was one."""

    def attach(self, name: str) -> Site:
        """Returns where a pool lives. Raises PoolNotFound."""
