"""What changed in a project since somebody last looked, in one round trip."""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

from services.selector.changes import Changes, Marks, Released, Reserved
from services.selector.errors import ProjectNotFound
from services.selector.project import LabelRecord
from services.selector.state.coding import pairs, project_from_json, record_from_fields
from services.selector.state.connection import reaching
from services.selector.state.kept import LUA, kept_answer
from services.selector.state.keys import Keys

_CHANGES = (
    LUA
    + """
local config = redis.call('HMGET', KEYS[1], 'uid', 'settings_version', 'label_version')
if not config[1] then return false end
local now = now_ms()
local same = config[1] == ARGV[1]
local out = {
  uid = config[1], settings_version = config[2], label_version = config[3], now = now,
  head_version = redis.call('HGET', KEYS[7], 'version') or '0'}
if not same or config[2] ~= ARGV[2] then out.settings = redis.call('HGET', KEYS[1], 'settings') end

-- What follows a mark, when the entry of the mark is still there: a store that lost its end is read anew.
local function after(stream, mark)
  if not same or mark == '' then return false end
  local entries = redis.call('XRANGE', stream, mark, '+')
  if not entries[1] or entries[1][1] ~= mark then return false end
  table.remove(entries, 1)
  return entries
end
local function last(stream)
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  return newest[1] and newest[1][1] or ''
end

local label_entries = after(KEYS[3], ARGV[3])
if label_entries then
  out.label_entries = label_entries
else
  out.labels = redis.call('HGETALL', KEYS[2])
  out.label_mark = last(KEYS[3])
end

local selection_entries = after(KEYS[6], ARGV[4])
if selection_entries then
  out.selection_entries = selection_entries
else
  out.selection_mark = last(KEYS[6])
  local held = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES')
  local holders = {}
  for i = 1, #held, 2 do holders[#holders + 1] = redis.call('HGET', KEYS[5], held[i]) or '' end
  out.held = held
  out.holders = holders
end
return {cjson.encode(out), kept(KEYS[8], KEYS[9], ARGV[5], now)}
"""
)


class RedisLog:
    """Follows a project through its streams.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._changes = redis.register_script(_CHANGES)

    async def changes(self, name: str, since: Marks, request_id: str = "") -> Changes:
        """Returns what changed since marks, and what a request id stands for, all of one moment.

        Script: KEYS config, labels, label_log, reservations, reservation_holders, selections, head, requests,
        request_times. ARGV uid, settings version, label mark, selection mark, request id. Returns JSON and the value
        kept for the request id. Costs Redis what changed; without marks, all labels and reservations there are.

        Raises:
            ProjectNotFound: there is no such project.
            StoreUnavailable: Redis cannot be reached.
        """
        keys = Keys(name)
        with reaching():
            answer = await self._changes(
                keys=[
                    keys.config,
                    keys.labels,
                    keys.label_log,
                    keys.reservations,
                    keys.holders,
                    keys.selections,
                    keys.head,
                    keys.requests,
                    keys.request_times,
                ],
                args=[since.uid, since.settings_version, since.label_mark, since.selection_mark, request_id],
            )
        if answer is None:
            raise ProjectNotFound(name)
        fields: dict[str, Any] = json.loads(answer[0])
        label_entries = list(fields.get("label_entries", ()))
        selection_entries = list(fields.get("selection_entries", ()))
        return Changes(
            marks=Marks(
                fields["uid"],
                int(fields["settings_version"]),
                _mark(fields.get("label_mark"), label_entries, since.label_mark),
                _mark(fields.get("selection_mark"), selection_entries, since.selection_mark),
            ),
            project=project_from_json(fields["settings"]) if "settings" in fields else None,
            label_version=int(fields["label_version"]),
            labels_whole="labels" in fields,
            labels=_all_labels(fields["labels"]) if "labels" in fields else [_label(entry) for entry in label_entries],
            reservations_whole="held" in fields,
            reservations=_all_reserved(fields) if "held" in fields else [_reservation(e) for e in selection_entries],
            head_version=int(fields["head_version"]),
            now_ms=int(fields["now"]),
            kept=kept_answer(answer[1]) if answer[1] else None,
        )


def _mark(read_anew: str | None, entries: list[Any], before: str) -> str:
    if read_anew is not None:
        return read_anew
    return str(entries[-1][0]) if entries else before


def _all_labels(flat: Any) -> list[tuple[str, LabelRecord | None]]:
    found = pairs(flat)
    # One text of all records parses several times faster than each record's own.
    records = json.loads(f"[{','.join(value for _, value in found)}]")
    return [(item_id, record_from_fields(record)) for (item_id, _), record in zip(found, records, strict=True)]


def _label(entry: Any) -> tuple[str, LabelRecord | None]:
    fields = dict(pairs(entry[1]))
    if fields["action"] == "clear":
        return fields["item"], None
    label = fields["label"] if fields["action"] == "label" else None
    return fields["item"], LabelRecord(label, fields["annotator"], int(fields["time"]))


def _all_reserved(fields: dict[str, Any]) -> list[Reserved | Released]:
    held = pairs(fields["held"])
    holders = list(fields["holders"])
    return [
        Reserved((item_id,), annotator, int(until)) for (item_id, until), annotator in zip(held, holders, strict=True)
    ]


def _reservation(entry: Any) -> Reserved | Released:
    fields = dict(pairs(entry[1]))
    if "released" in fields:
        return Released(tuple(json.loads(fields["released"])))
    items = tuple(json.loads(fields["items"])) if int(fields["until"]) else ()
    return Reserved(items, fields["annotator"], int(fields["until"]))
