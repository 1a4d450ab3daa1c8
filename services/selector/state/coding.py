"""Values as JSON text in Redis."""

from __future__ import annotations

import json
from typing import Any

from services.selector.heads import settings_from_fields, settings_to_fields
from services.selector.project import Cleared, Entry, Labeled, LabelRecord, Project


def project_to_json(project: Project) -> str:
    """Returns settings as JSON text."""
    return json.dumps(
        {
            "name": project.name,
            "pool": project.pool,
            "labels": project.labels,
            "acquisition": project.acquisition,
            "cold_start": project.cold_start,
            "reservation_ms": project.reservation_ms,
            "head": settings_to_fields(project.head),
            "parameters": dict(project.parameters),
            "fingerprint": project.fingerprint,
            "created_ms": project.created_ms,
        },
        ensure_ascii=False,
    )


def project_from_json(text: str | bytes) -> Project:
    """Returns the settings that `project_to_json` wrote."""
    fields = json.loads(text)
    return Project(
        name=fields["name"],
        pool=fields["pool"],
        labels=tuple(fields["labels"]),
        acquisition=fields["acquisition"],
        cold_start=fields["cold_start"],
        reservation_ms=fields["reservation_ms"],
        head=settings_from_fields(fields["head"]),
        parameters=fields["parameters"],
        fingerprint=fields["fingerprint"],
        created_ms=fields["created_ms"],
    )


def definition_to_json(project: Project) -> str:
    """Returns what a caller of CreateProject decides, as JSON text: equal texts are equal definitions."""
    return json.dumps(
        [
            project.pool,
            project.labels,
            project.acquisition,
            project.cold_start,
            project.reservation_ms,
            settings_to_fields(project.head),
            dict(sorted(project.parameters.items())),
        ],
        ensure_ascii=False,
    )


def record_from_fields(fields: list[Any]) -> LabelRecord:
    """Returns what is recorded about an item from [label or null, annotator, milliseconds]."""
    label, annotator, time_ms = fields
    return LabelRecord(label, annotator, int(time_ms))


def entry_fields(entry: Entry) -> list[str]:
    """Returns an entry as [item id, action, label]."""
    if isinstance(entry, Labeled):
        return [entry.item_id, "label", entry.label]
    return [entry.item_id, "clear" if isinstance(entry, Cleared) else "skip", ""]


def pairs(flat: Any) -> list[tuple[Any, Any]]:
    """Returns the pairs of a flat list; an empty Lua table arrives as an object."""
    values = list(flat)
    return list(zip(values[::2], values[1::2], strict=True))
