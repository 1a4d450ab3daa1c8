"""Which acquisition functions a head serves, and when they can begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.selector.acquisition import REGISTRY, AcquisitionFunction, PickFunction, installed
from services.selector.errors import AcquisitionNotInstalled, HeadUnsupported, ParametersUnused
from services.selector.heads import Ability, HeadSettings, LogisticSettings, McDropoutSettings, SvmSettings

# What Select itself reads, whatever the function.
_OF_ALL = frozenset({"sub_pool"})

_MEANINGS = {
    Ability.DECISIONS: "a head",
    Ability.PROBABILITIES: "class probabilities",
    Ability.SAMPLES: "posterior samples",
    Ability.LINEAR: "outputs that are linear in the embedding",
    Ability.CURVATURE: "the curvature of its loss",
}


def function_named(name: str) -> AcquisitionFunction:
    """Returns an acquisition function, ours or an installed one. Raises AcquisitionNotInstalled."""
    function = REGISTRY.get(name) or installed().get(name)
    if function is None:
        raise AcquisitionNotInstalled(name)
    return function


def read_by(function: AcquisitionFunction) -> frozenset[str]:
    """Returns the parameters that choosing with a function depends on."""
    return function.uses | _OF_ALL


def check_used(function: AcquisitionFunction, parameters: Mapping[str, Any]) -> None:
    """Raises ParametersUnused when a request sets what its function does not read."""
    unused = sorted(parameters.keys() - read_by(function))
    if unused:
        raise ParametersUnused(function.name, unused, sorted(read_by(function)))


def can_begin(function: AcquisitionFunction, has_head: bool, has_labels: bool) -> bool:
    """Tells whether a function can choose; where it cannot, the cold-start one does."""
    needs_labels = isinstance(function, PickFunction) and function.needs_labels
    return (has_head or not function.needs) and (has_labels or not needs_labels)


def is_cold_start(function: AcquisitionFunction) -> bool:
    """Tells whether a function can choose without a head and without labels."""
    return can_begin(function, has_head=False, has_labels=False)


def check_served(function: AcquisitionFunction, settings: HeadSettings) -> None:
    """Raises HeadUnsupported when heads of these settings cannot tell what the function needs."""
    missing = function.needs & ~settings.abilities
    if missing:
        raise HeadUnsupported(
            function.name,
            settings.kind,
            " and ".join(meaning for ability, meaning in _MEANINGS.items() if ability in missing),
            [name for name, other in REGISTRY.items() if not other.needs & ~settings.abilities],
            [kind for kind, abilities in _KINDS.items() if not function.needs & ~abilities],
        )


_KINDS = {
    "LOGISTIC": LogisticSettings().abilities,
    "MC_DROPOUT without hidden layers": McDropoutSettings().abilities,
    "MC_DROPOUT with hidden layers": McDropoutSettings(hidden=(1,)).abilities,
    "SVM": SvmSettings().abilities,
}
