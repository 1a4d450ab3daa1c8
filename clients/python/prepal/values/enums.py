"""The choices of the contract as string enums, and their translation to and from the wire.

Everywhere a choice is an argument, its plain name does as well: `acquisition="max_entropy"`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from prepal import errors
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2


class Acquisition(StrEnum):
    """What scores or picks unlabeled items; higher = more wanted."""

    RANDOM = "random"
    MAX_ENTROPY = "max_entropy"
    VARIATION_RATIO = "variation_ratio"
    MARGIN = "margin"
    BALD = "bald"
    BATCH_BALD = "batch_bald"
    CORESET = "coreset"
    DAL = "dal"
    EGL = "egl"
    DFAL = "dfal"
    GORAL = "goral"
    KMEANS_MARGIN = "kmeans_margin"
    DENSITY = "density"
    CLUSTER_MARGIN = "cluster_margin"
    BADGE = "badge"
    POWER_BALD = "power_bald"
    CONTRASTIVE = "contrastive"
    TYPICLUST = "typiclust"
    PROB_COVER = "prob_cover"
    KMEANS = "kmeans"


class Posterior(StrEnum):
    """How samples of a logistic head are drawn."""

    DROPOUT = "dropout"
    LAPLACE = "laplace"


class Representation(StrEnum):
    """Where "coreset" and "dal" measure."""

    EMBEDDINGS = "embeddings"
    PENULTIMATE = "penultimate"


class ClassWeight(StrEnum):
    """How class weights enter the head's loss."""

    EQUAL = "equal"
    BALANCED = "balanced"


class Pooling(StrEnum):
    """How token states become one vector."""

    AUTO = "auto"
    MEAN = "mean"
    CLS = "cls"
    LAST_TOKEN = "last_token"  # noqa: S105


class PairMode(StrEnum):
    """How the two texts of a pair become one embedding."""

    JOINT = "joint"
    COMPARE = "compare"
    FULL = "full"
    AUTO = "auto"


class JobState(StrEnum):
    """The state of a fine-tuning job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


_Choice = TypeVar("_Choice", Acquisition, Posterior, Representation, ClassWeight, Pooling, PairMode, JobState)

# For each enum: its name in messages to a person, the wire's enum and prefix, and the member that is the wire's zero.
_WIRE: dict[type[StrEnum], tuple[str, EnumTypeWrapper, str, str | None]] = {
    Acquisition: ("acquisition", selector_pb2.Acquisition, "ACQUISITION_", None),
    Posterior: ("posterior", selector_pb2.Posterior, "POSTERIOR_", None),
    Representation: ("representation", selector_pb2.Representation, "REPRESENTATION_", None),
    ClassWeight: ("class_weight", selector_pb2.ClassWeight, "CLASS_WEIGHT_", "equal"),
    Pooling: ("pooling", embedder_pb2.Pooling, "POOLING_", "auto"),
    PairMode: ("pairs", embedder_pb2.PairMode, "PAIR_MODE_", None),
    JobState: ("state", trainer_pb2.JobState, "JOB_STATE_", None),
}


def parse(kind: type[_Choice], value: str, field: str = "") -> _Choice:
    """Returns the member that a name means, in any case and with - for _.

    Raises:
        ValueError: for another name; the message lists the legal ones.
    """
    try:
        return kind(value.lower().replace("-", "_"))
    except (ValueError, AttributeError):
        legal = ", ".join(kind)
        raise ValueError(f"{field or _WIRE[kind][0]} must be one of {legal}, got {value!r}") from None


def to_wire(kind: type[_Choice], value: str | None) -> str | None:
    """Returns the wire's name of a choice; None is the wire's "unspecified".

    Raises:
        ValueError: for a name that is not a choice; the message lists the legal ones.
    """
    if value is None:
        return None
    member = parse(kind, value)
    _, _, prefix, zero = _WIRE[kind]
    return None if member == zero else prefix + member.name


def from_wire(kind: type[_Choice], value: int) -> _Choice:
    """Returns the choice of a wire's number.

    Raises:
        Internal: for a number this version does not know.
    """
    choice = from_wire_or_none(kind, value)
    if choice is None:
        raise errors.Internal(f"the service answered without {_WIRE[kind][0]}; is it of the same version as prepal?")
    return choice


def from_wire_or_none(kind: type[_Choice], value: int) -> _Choice | None:
    """Returns the choice of a wire's number, None for "unspecified" where that is no choice.

    Raises:
        Internal: for a number this version does not know.
    """
    field, wire, prefix, zero = _WIRE[kind]
    if value == 0:
        return None if zero is None else kind(zero)
    try:
        return kind[wire.Name(value).removeprefix(prefix)]
    except (KeyError, ValueError):
        raise errors.Internal(
            f"the service answered {field} {value}, which this version of prepal does not know; update prepal"
        ) from None
