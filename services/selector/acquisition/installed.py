"""Acquisition functions of installed packages."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from services.selector.acquisition.kinds import AcquisitionFunction, PickFunction, ScoreFunction

LOGGER = logging.getLogger(__name__)

GROUP: Final = "prepal.acquisition"


@functools.cache
def installed() -> Mapping[str, AcquisitionFunction]:
    """Returns the functions that installed packages name under the entry point group `prepal.acquisition`.

    A function's name is that of its entry point, which must have a dot, "acme.novelty", so that it is none of ours. One
    that cannot be loaded is left out and logged: it must not keep the service from starting.
    """
    functions = {}
    for point in entry_points(group=GROUP):
        try:
            functions[point.name] = _loaded(point)
        except Exception as error:  # noqa: BLE001 - whatever a package of somebody else raises
            LOGGER.warning(
                "an installed acquisition function is left out",
                extra={"name_of_function": point.name, "error": f"{type(error).__name__}: {error}"},
            )
    return functions


def _loaded(point: EntryPoint) -> AcquisitionFunction:
    function = point.load()
    if not isinstance(function, ScoreFunction | PickFunction):
        raise TypeError(f"{point.value} must be a ScoreFunction or a PickFunction, got {type(function).__name__}")
    if "." not in point.name or function.name != point.name:
        raise ValueError(f"the entry point's name must have a dot and be the function's own, got {function.name!r}")
    return function
