"""What chooses items, and what may be set of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from prepal.v1 import selector_pb2
from prepal.values.enums import Acquisition, Posterior, Representation, from_wire, from_wire_or_none, parse, to_wire


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionParameters:
    """What acquisition functions read. None is the project's, and where that is not set either, the default.

    A `select` may only set what its acquisition function reads.

    Attributes:
        samples: posterior samples of "bald", "batch_bald" and "power_bald", 1 to 1,000; default 50.
        posterior: how they are drawn from a LogisticHead: "dropout", the default, or "laplace".
        dropout: rate of the dropout on the inputs of a LogisticHead, more than 0 and less than 1; default 0.1.
        beta: exponent of "power_bald", 0 to 1,000; default 1. 0 is uniform, large is "bald".
        configurations: of the chosen items' labels that "batch_bald" keeps, 1 to 100,000; default 10,000.
        sub_batches: parts in which "dal" chooses, 1 to 1,000; default 10.
        sub_pool: items, drawn at random, that any function looks at; 0 for all. Default 0; 20,000 for "prob_cover".
        neighbours: nearest items that "contrastive" (default 10) and "typiclust" (default 20) average over.
        clusters: of "density", "typiclust" and "cluster_margin", 1 to 10,000.
        candidates: items of the smallest margin that "kmeans_margin" and "cluster_margin" choose from, as a multiple of
            k, 1 to 1,000; default 10.
        radius: of the balls of "prob_cover", more than 0.
        representation: where "coreset" and "dal" measure: "embeddings", the default, or "penultimate", what the last
            layer of an McDropoutHead with hidden layers sees.
    """

    samples: int | None = None
    posterior: str | None = None
    dropout: float | None = None
    beta: float | None = None
    configurations: int | None = None
    sub_batches: int | None = None
    sub_pool: int | None = None
    neighbours: int | None = None
    clusters: int | None = None
    candidates: int | None = None
    radius: float | None = None
    representation: str | None = None


def parameters_to_message(parameters: AcquisitionParameters | None) -> selector_pb2.AcquisitionParameters | None:
    """Returns parameters as a message.

    Raises:
        ValueError: a value is none that the message can carry.
    """
    if parameters is None:
        return None
    message = selector_pb2.AcquisitionParameters(
        posterior=to_wire(Posterior, parameters.posterior),
        representation=to_wire(Representation, parameters.representation),
    )
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if value is None or field.name in ("posterior", "representation"):
            continue
        try:
            setattr(message, field.name, value)
        except (TypeError, ValueError):
            raise ValueError(f"{field.name} must be a number that is not negative, got {value!r}") from None
    return message


def parameters_from_message(message: selector_pb2.AcquisitionParameters) -> AcquisitionParameters:
    """Returns the parameters of a message."""

    def number(name: str) -> float | None:
        return getattr(message, name) if message.HasField(name) else None

    def whole(name: str) -> int | None:
        return getattr(message, name) if message.HasField(name) else None

    return AcquisitionParameters(
        samples=whole("samples"),
        posterior=from_wire_or_none(Posterior, message.posterior),
        dropout=number("dropout"),
        beta=number("beta"),
        configurations=whole("configurations"),
        sub_batches=whole("sub_batches"),
        sub_pool=whole("sub_pool"),
        neighbours=whole("neighbours"),
        clusters=whole("clusters"),
        candidates=whole("candidates"),
        radius=number("radius"),
        representation=from_wire_or_none(Representation, message.representation),
    )


def acquisition_name(value: str) -> str:
    """Returns the one spelling of an acquisition function's name.

    Raises:
        ValueError: it is neither one of ours, nor the name of an installed one, which has a dot.
    """
    return value if "." in value else parse(Acquisition, value)


def built_in(value: str | None) -> str | None:
    """Returns the wire's name of one of our functions; None for an installed one, and for None."""
    return None if value is None or "." in value else to_wire(Acquisition, value)


def custom(value: str | None) -> str:
    """Returns the name of an installed function; "" for one of ours, and for None."""
    return value if value is not None and "." in value else ""


def acquisition_from_message(message: selector_pb2.Project | selector_pb2.SelectResponse) -> str:
    """Returns an `Acquisition`, or the name of an installed function."""
    return message.custom_acquisition or from_wire(Acquisition, message.acquisition)
