"""How heads are fit: what a project may set of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final

from services.selector.heads.head import Ability

MAX_LAYERS: Final = 3
MAX_UNITS: Final = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticSettings:
    """How a LOGISTIC head is fit.

    Attributes:
        inverse_regularization: C, more than 0, at most 1e6.
        balanced: whether labels count inversely to their class's frequency, as scikit-learn's "balanced".
    """

    kind: ClassVar[str] = "LOGISTIC"

    inverse_regularization: float = 10.0
    balanced: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError when C is out of range."""
        _check_inverse_regularization(self.inverse_regularization)

    @property
    def abilities(self) -> Ability:
        """What its heads can tell."""
        return Ability.DECISIONS | Ability.PROBABILITIES | Ability.SAMPLES | Ability.LINEAR | Ability.CURVATURE


@dataclass(frozen=True, kw_only=True, slots=True)
class McDropoutSettings:
    """How an MC_DROPOUT head is fit.

    Attributes:
        hidden: units of each hidden layer, at most 3 layers of 1 to 4,096; none for a linear head.
        dropout: rate of the dropout before each layer, more than 0 and less than 1.
        inverse_regularization: C, of the L2 penalty, more than 0, at most 1e6; without hidden layers that of LOGISTIC.
        learning_rate: Adam's, more than 0, at most 1, for inputs of variance about 1.
        max_epochs: passes over the labels after which a fit ends at the latest, 1 to 10,000.
        balanced: whether labels count inversely to their class's frequency.
    """

    kind: ClassVar[str] = "MC_DROPOUT"

    hidden: tuple[int, ...] = ()
    dropout: float = 0.1
    inverse_regularization: float = 10.0
    learning_rate: float = 0.003
    max_epochs: int = 200
    balanced: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError when a field is out of range."""
        if len(self.hidden) > MAX_LAYERS:
            raise ValueError(f"hidden must be at most {MAX_LAYERS} layers, got {len(self.hidden)}")
        for units in self.hidden:
            if not 1 <= units <= MAX_UNITS:
                raise ValueError(f"hidden must be layers of 1 to {MAX_UNITS} units, got {units}")
        if not 0 < self.dropout < 1:
            raise ValueError(f"dropout must be more than 0 and less than 1, got {self.dropout:g}")
        _check_inverse_regularization(self.inverse_regularization)
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate must be more than 0 and at most 1, got {self.learning_rate:g}")
        if not 1 <= self.max_epochs <= 10_000:
            raise ValueError(f"max_epochs must be between 1 and 10000, got {self.max_epochs}")

    @property
    def abilities(self) -> Ability:
        """What its heads can tell."""
        linear = Ability.NONE if self.hidden else Ability.LINEAR
        return Ability.DECISIONS | Ability.PROBABILITIES | Ability.SAMPLES | linear


@dataclass(frozen=True, kw_only=True, slots=True)
class SvmSettings:
    """How an SVM head is fit.

    Attributes:
        inverse_regularization: C, more than 0, at most 1e6.
        balanced: whether labels count inversely to their class's frequency, as scikit-learn's "balanced".
    """

    kind: ClassVar[str] = "SVM"

    inverse_regularization: float = 1.0
    balanced: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError when C is out of range."""
        _check_inverse_regularization(self.inverse_regularization)

    @property
    def abilities(self) -> Ability:
        """What its heads can tell."""
        return Ability.DECISIONS | Ability.LINEAR


HeadSettings = LogisticSettings | McDropoutSettings | SvmSettings

_KINDS: Final[Mapping[str, type[HeadSettings]]] = {
    settings.kind: settings for settings in (LogisticSettings, McDropoutSettings, SvmSettings)
}


def settings_to_fields(settings: HeadSettings) -> dict[str, Any]:
    """Returns settings as JSON has them: "kind", and each field, tuples as lists."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    return {"kind": settings.kind, **values}


def settings_from_fields(values: Mapping[str, Any]) -> HeadSettings:
    """Returns the settings that `settings_to_fields` wrote; a field that is not there has its default.

    Raises:
        ValueError: the kind or a field is not known, or a field is out of range or of another type.
    """
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    made = _KINDS[kind]
    defaults = made()
    known = {field.name: getattr(defaults, field.name) for field in fields(made)}
    given = {name: value for name, value in values.items() if name != "kind"}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{name} is no setting of {kind}; it has {', '.join(known)}")
        given[name] = _of_type(name, value, type(known[name]))
    return made(**given)


def _of_type(name: str, value: object, wanted: type) -> object:
    if wanted is tuple and isinstance(value, list | tuple):
        return tuple(_of_type(name, part, int) for part in value)
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{name} must be of type {wanted.__name__}, got {value!r}")
    return value


def _check_inverse_regularization(value: float) -> None:
    if not 0 < value <= 1e6:
        raise ValueError(f"inverse_regularization must be more than 0 and at most 1e6, got {value:g}")
