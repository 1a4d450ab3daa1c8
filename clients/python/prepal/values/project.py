"""Projects: one label set over one pool, and all that people said about its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from prepal.v1 import selector_pb2
from prepal.values.acquisition import AcquisitionParameters, acquisition_from_message, parameters_from_message
from prepal.values.enums import Acquisition, from_wire
from prepal.values.head import Head, head_from_message
from prepal.values.times import time_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's settings.

    Attributes:
        name: the project's name.
        pool: the pool whose items are labeled.
        labels: the label set, in the order of probability columns.
        acquisition: what `select` uses when it is not told: an `Acquisition`, or the name of an installed function.
        cold_start: what `select` uses while no head can be fit.
        reservation: seconds for which selected items are reserved; 0 when they are not.
        head: the head.
        parameters: what acquisition functions read.
        fingerprint: the fingerprint of the embeddings that the head is fit on.
        created_at: when the project was created.
    """

    name: str
    pool: str
    labels: tuple[str, ...]
    acquisition: str
    cold_start: Acquisition
    reservation: float
    head: Head
    parameters: AcquisitionParameters
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
        stopping: signals that further labels may no longer be worth it, of the heads that were compared, oldest first.
        stabilised: whether predictions have stabilised: the mean agreement of the last three comparisons is at least
            0.99.
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
    stopping: tuple[StoppingSignals, ...] = ()
    stabilised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingSignals:
    """What one head, and the step from the one before, say about stopping; measured on up to 1,000 items of the pool.

    Attributes:
        labeled: labeled items the head was fit on.
        head_version: the head's version.
        since: labeled items the head before was fit on; None for the first.
        agreement: Cohen's kappa of the two heads' predictions, at most 1; None for the first.
        change: share of predictions that differ, 0 to 1; None for the first.
        uncertainty: mean entropy of the predictions over its largest possible value, 0 to 1; None for an SvmHead.
        expected_error: the share of its predictions that the head expects to be wrong; None for an SvmHead.
    """

    labeled: int
    head_version: int
    since: int | None
    agreement: float | None
    change: float | None
    uncertainty: float | None
    expected_error: float | None


def project_from_message(message: selector_pb2.Project) -> Project:
    """Returns the project of a message."""
    return Project(
        name=message.name,
        pool=message.pool,
        labels=tuple(message.labels),
        acquisition=acquisition_from_message(message),
        cold_start=from_wire(Acquisition, message.cold_start),
        reservation=message.reservation.ToNanoseconds() / 1e9,
        head=head_from_message(message),
        parameters=parameters_from_message(message.parameters),
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
        stopping=tuple(_signals_from_message(found) for found in message.stopping.history),
        stabilised=message.stopping.stabilised,
    )


def _signals_from_message(message: selector_pb2.StoppingSignals) -> StoppingSignals:
    return StoppingSignals(
        labeled=message.labeled,
        head_version=message.head_version,
        since=message.since if message.HasField("since") else None,
        agreement=message.agreement if message.HasField("agreement") else None,
        change=message.change if message.HasField("change") else None,
        uncertainty=message.uncertainty if message.HasField("uncertainty") else None,
        expected_error=message.expected_error if message.HasField("expected_error") else None,
    )
