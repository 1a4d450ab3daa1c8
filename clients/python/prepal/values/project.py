"""Projects: one label set over one pool, and all that people said about its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from prepal.v1 import selector_pb2
from prepal.values.enums import Acquisition, ClassWeight, from_wire, to_wire
from prepal.values.times import time_from


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticHead:
    """Multinomial logistic regression over the embeddings.

    Attributes:
        inverse_regularization: C, the inverse strength of the L2 penalty, more than 0 and at most 1e6.
        class_weight: how class weights enter the loss.
    """

    inverse_regularization: float = 10.0
    class_weight: ClassWeight = ClassWeight.EQUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's settings.

    Attributes:
        name: the project's name.
        pool: the pool whose items are labeled.
        labels: the label set, in the order of probability columns.
        acquisition: what `select` uses when it is not told.
        cold_start: what `select` uses while no head can be fit.
        reservation: seconds for which selected items are reserved; 0 when they are not.
        head: the head.
        fingerprint: the fingerprint of the embeddings that the head is fit on.
        created_at: when the project was created.
    """

    name: str
    pool: str
    labels: tuple[str, ...]
    acquisition: Acquisition
    cold_start: Acquisition
    reservation: float
    head: LogisticHead
    fingerprint: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectStatus:
    """A project's settings and its counts, all of one moment.

    Attributes:
        project: the settings.
        items: items in the pool.
        labeled: items with a label.
        skipped: items skipped.
        reserved: items reserved by somebody.
        labeled_per_label: labeled items of each label, in the order of `project.labels`.
        label_version: grows with every `record_labels` that changed something.
        head_version: the newest head's version; 0 while there is none.
        head_label_version: the label version that head has seen.
    """

    project: Project
    items: int
    labeled: int
    skipped: int
    reserved: int
    labeled_per_label: Mapping[str, int]
    label_version: int
    head_version: int
    head_label_version: int


def head_to_message(head: LogisticHead | None) -> selector_pb2.LogisticHead | None:
    """Returns a head's settings as a message."""
    if head is None:
        return None
    return selector_pb2.LogisticHead(
        inverse_regularization=head.inverse_regularization,
        class_weight=to_wire(ClassWeight, head.class_weight),
    )


def project_from_message(message: selector_pb2.Project) -> Project:
    """Returns the project of a message."""
    return Project(
        name=message.name,
        pool=message.pool,
        labels=tuple(message.labels),
        acquisition=from_wire(Acquisition, message.acquisition),
        cold_start=from_wire(Acquisition, message.cold_start),
        reservation=message.reservation.ToNanoseconds() / 1e9,
        head=LogisticHead(
            inverse_regularization=message.logistic.inverse_regularization,
            class_weight=from_wire(ClassWeight, message.logistic.class_weight),
        ),
        fingerprint=message.fingerprint,
        created_at=time_from(message.created_at),
    )


def status_from_message(message: selector_pb2.GetProjectResponse) -> ProjectStatus:
    """Returns the settings and counts of a message."""
    project, counts = project_from_message(message.project), message.status
    return ProjectStatus(
        project=project,
        items=counts.items,
        labeled=counts.labeled,
        skipped=counts.skipped,
        reserved=counts.reserved,
        labeled_per_label=dict(zip(project.labels, counts.labeled_per_label, strict=False)),
        label_version=counts.label_version,
        head_version=counts.head_version,
        head_label_version=counts.head_label_version,
    )
