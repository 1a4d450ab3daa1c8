"""Heads: what a project fits on the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prepal import errors
from prepal.v1 import selector_pb2
from prepal.values.enums import ClassWeight, from_wire, to_wire
from prepal.values.numbers import count


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticHead:
    """Multinomial logistic regression over the embeddings. Serves every acquisition function.

    Attributes:
        inverse_regularization: C, the inverse strength of the L2 penalty, more than 0 and at most 1e6.
        class_weight: how class weights enter the loss.
    """

    inverse_regularization: float = 10.0
    class_weight: ClassWeight = ClassWeight.EQUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class McDropoutHead:
    """A small network with dropout before each of its layers. Serves all acquisition functions but "goral".

    Attributes:
        hidden: units of each hidden layer, at most 3 layers of 1 to 4,096; none is a linear head.
        dropout: rate of the dropout, more than 0 and less than 1.
        class_weight: how class weights enter the loss.
        inverse_regularization: C, the inverse strength of the L2 penalty, more than 0 and at most 1e6.
        learning_rate: Adam's, more than 0 and at most 1.
        max_epochs: passes over the labels after which a fit ends at the latest, 1 to 10,000.
    """

    hidden: Sequence[int] = ()
    dropout: float = 0.1
    class_weight: ClassWeight = ClassWeight.EQUAL
    inverse_regularization: float = 10.0
    learning_rate: float = 0.01
    max_epochs: int = 200

    def __post_init__(self) -> None:
        # Frozen for everybody else; a list becomes a tuple, so that heads of equal settings are equal.
        object.__setattr__(self, "hidden", tuple(self.hidden))


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmHead:
    """A linear support vector machine. It has no probabilities: what is given as such only ranks classes.

    Serves "margin", "dfal", "kmeans_margin", "cluster_margin", and what needs no head.

    Attributes:
        inverse_regularization: C, the inverse strength of the L2 penalty, more than 0 and at most 1e6.
        class_weight: how class weights enter the loss.
    """

    inverse_regularization: float = 1.0
    class_weight: ClassWeight = ClassWeight.EQUAL


Head = LogisticHead | McDropoutHead | SvmHead


def logistic_to_message(head: Head | None) -> selector_pb2.LogisticHead | None:
    """Returns the message of a LogisticHead, None for any other."""
    if not isinstance(head, LogisticHead):
        return None
    return selector_pb2.LogisticHead(
        inverse_regularization=head.inverse_regularization, class_weight=to_wire(ClassWeight, head.class_weight)
    )


def mc_dropout_to_message(head: Head | None) -> selector_pb2.McDropoutHead | None:
    """Returns the message of an McDropoutHead, None for any other."""
    if not isinstance(head, McDropoutHead):
        return None
    return selector_pb2.McDropoutHead(
        hidden=[count("hidden", units) for units in head.hidden],
        dropout=head.dropout,
        class_weight=to_wire(ClassWeight, head.class_weight),
        inverse_regularization=head.inverse_regularization,
        learning_rate=head.learning_rate,
        max_epochs=count("max_epochs", head.max_epochs),
    )


def svm_to_message(head: Head | None) -> selector_pb2.SvmHead | None:
    """Returns the message of an SvmHead, None for any other."""
    if not isinstance(head, SvmHead):
        return None
    return selector_pb2.SvmHead(
        inverse_regularization=head.inverse_regularization, class_weight=to_wire(ClassWeight, head.class_weight)
    )


def head_from_message(message: selector_pb2.Project) -> Head:
    """Returns the head of a project's message."""
    kind = message.WhichOneof("head")
    if kind == "logistic":
        return LogisticHead(
            inverse_regularization=message.logistic.inverse_regularization,
            class_weight=from_wire(ClassWeight, message.logistic.class_weight),
        )
    if kind == "mc_dropout":
        return McDropoutHead(
            hidden=tuple(message.mc_dropout.hidden),
            dropout=message.mc_dropout.dropout,
            class_weight=from_wire(ClassWeight, message.mc_dropout.class_weight),
            inverse_regularization=message.mc_dropout.inverse_regularization,
            learning_rate=message.mc_dropout.learning_rate,
            max_epochs=message.mc_dropout.max_epochs,
        )
    if kind == "svm":
        return SvmHead(
            inverse_regularization=message.svm.inverse_regularization,
            class_weight=from_wire(ClassWeight, message.svm.class_weight),
        )
    raise errors.Internal("the service answered a project without a head that this version of prepal knows; update it")
