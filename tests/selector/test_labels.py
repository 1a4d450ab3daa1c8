"""RecordLabels and ListLabels over real gRPC."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
import redis
from prepal.v1 import selector_pb2 as pb

from services.selector.state.keys import Keys
from tests.selector.conftest import StartSelector
from tests.selector.pools import Pools, ids
from tests.selector.selecting import Caller, Refusal, truth

BAD = grpc.StatusCode.INVALID_ARGUMENT


def entry(item_id: str, label: str) -> pb.LabelEntry:
    return pb.LabelEntry(item_id=item_id, label=label)


async def test_labels_skips_and_clears_are_counted(project: Caller) -> None:
    first = await project.label({"i0": "negative", "i1": "positive", "i2": "positive", "i3": None})
    assert first == pb.RecordLabelsResponse(changed=4, unchanged=0, label_version=1, labeled=3)
    status = await project.status()
    assert (status.labeled, status.skipped, list(status.labeled_per_label)) == (3, 1, [1, 2])
    second = await project.label({"i0": "positive", "i1": None, "i3": "negative", "i2": "positive"})
    assert second == pb.RecordLabelsResponse(changed=3, unchanged=1, label_version=2, labeled=3)
    status = await project.status()
    assert (status.labeled, status.skipped, list(status.labeled_per_label)) == (3, 1, [1, 2])
    third = await project.clear("i0", "i1", "i9")
    assert third == pb.RecordLabelsResponse(changed=2, unchanged=1, label_version=3, labeled=2)
    status = await project.status()
    assert (status.labeled, status.skipped, list(status.labeled_per_label)) == (2, 0, [1, 1])


async def test_saying_the_same_again_changes_nothing(project: Caller) -> None:
    await project.label({"i0": "negative", "i1": None}, annotator="ada")
    before = await project.labels()
    again = await project.label({"i0": "negative", "i1": None}, annotator="bob")
    assert again == pb.RecordLabelsResponse(changed=0, unchanged=2, label_version=1, labeled=1)
    assert await project.labels() == before
    nothing = await project.clear("i5")
    assert (nothing.changed, nothing.unchanged, nothing.label_version) == (0, 1, 1)


async def test_labels_are_listed_in_order_of_id_with_who_and_when(project: Caller) -> None:
    before = time.time() - 1
    await project.label({"i10": "negative", "i2": "positive"}, annotator="Ädä")
    await project.label({"i1": None}, annotator="")
    found = await project.labels()
    assert [(label.item_id, label.label, label.skipped, label.annotator) for label in found] == [
        ("i1", "", True, ""),
        ("i10", "negative", False, "Ädä"),
        ("i2", "positive", False, "Ädä"),
    ]
    assert all(before < label.time.ToSeconds() + 1 < time.time() + 2 for label in found)


@pytest.mark.parametrize("page_size", [1, 7, 60, 1_000])
async def test_pages_give_every_label_once(project: Caller, page_size: int) -> None:
    await project.label(truth(ids(0, 60)))
    assert [label.item_id for label in await project.labels(page_size=page_size)] == sorted(ids(0, 60))


async def test_pages_stay_true_while_labels_come_and_go(project: Caller) -> None:
    await project.label(truth(ids(10, 40)))
    found, token = [], ""
    changes = iter([{"i0": "negative"}, {"i59": None}, {"i58": "positive"}])
    while True:
        page = await project.call(
            "ListLabels", pb.ListLabelsRequest(project="sentiment", page_size=10, page_token=token)
        )
        found += [label.item_id for label in page.labels]
        token = page.next_page_token
        if not token:
            break
        await project.label(next(changes, {}) or {"i0": "positive"})
        await project.clear(found[0])
    assert found == sorted(set(found))
    assert set(ids(10, 40)) <= set(found)


async def test_a_page_ends_early_rather_than_to_pass_what_a_client_takes(selector: Caller, pools: Pools) -> None:
    pools.make("long", 0)
    import numpy as np

    names = [f"{number:05d}{'x' * 250}" for number in range(4_300)]
    pools.put("long", names, np.ones((4_300, 16), np.float16))
    await selector.create("p", "long", ["a" * 256, "b"])
    await selector.label(dict.fromkeys(names, "a" * 256), project="p", annotator="c" * 256)
    page = await selector.call("ListLabels", pb.ListLabelsRequest(project="p", page_size=10_000))
    assert 3 << 20 <= page.ByteSize() < 4 << 20
    assert page.next_page_token
    assert len(page.labels) < 4_300
    assert len(await selector.labels("p", page_size=10_000)) == 4_300


async def test_items_outside_the_pool_are_all_named_and_nothing_is_recorded(project: Caller) -> None:
    unknown = [f"nowhere {number}" for number in range(30)]
    with pytest.raises(Refusal) as refused:
        await project.label({"i0": "negative", **dict.fromkeys(unknown, "positive"), "i1": None})
    assert (refused.value.code, refused.value.reason) == (BAD, "UNKNOWN_ITEMS")
    assert refused.value.message.startswith("30 items are not in pool 'reviews': 'nowhere 0', 'nowhere 1'")
    assert all(f"'{item_id}'" in refused.value.message for item_id in unknown)
    assert json.loads(refused.value.metadata["item_ids"]) == unknown
    assert (await project.status()) == pb.ProjectStatus(items=60, labeled_per_label=[0, 0])


async def test_thousands_of_unknown_ids_are_named_as_far_as_a_status_carries(project: Caller) -> None:
    unknown = [f"ünknown{number:04d}" for number in range(10_000)]
    with pytest.raises(Refusal) as refused:
        await project.label(dict.fromkeys(unknown, "positive"))
    assert refused.value.reason == "UNKNOWN_ITEMS"
    assert refused.value.metadata["count"] == "10000"
    named = json.loads(refused.value.metadata["item_ids"])
    assert named == unknown[: len(named)]
    assert len(named) > 100
    assert "more; add them" in refused.value.message


async def test_labels_the_project_does_not_have_are_all_named_and_nothing_is_recorded(project: Caller) -> None:
    with pytest.raises(Refusal) as refused:
        await project.label({"i0": "negative", "i1": "Positive", "i2": "meh", "i3": "meh"})
    assert (refused.value.code, refused.value.reason) == (BAD, "UNKNOWN_LABELS")
    assert refused.value.message == (
        "2 labels are not of project 'sentiment': 'Positive', 'meh'; it has 'negative', 'positive'; add labels with "
        "UpdateProject"
    )
    assert json.loads(refused.value.metadata["labels"]) == ["Positive", "meh"]
    assert (await project.status()).labeled == 0


@pytest.mark.parametrize(
    ("entries", "field", "message"),
    [
        ([], "entries", "entries must be between 1 and 10000, got 0"),
        ([entry(str(n), "x") for n in range(10_001)], "entries", "got 10001"),
        ([entry("", "negative")], "entries[0].item_id", "must be given, got an empty id"),
        ([entry("i0", "negative"), entry("i0", "positive")], "entries[1].item_id", "'i0' again after entries[0]"),
        ([pb.LabelEntry(item_id="i0")], "entries[0]", "must say label, skip or clear"),
        ([entry("i0", "")], "entries[0].label", "got an empty one"),
    ],
)
async def test_bad_entries_are_refused_by_field(
    project: Caller, entries: list[pb.LabelEntry], field: str, message: str
) -> None:
    with pytest.raises(Refusal) as refused:
        await project.call("RecordLabels", pb.RecordLabelsRequest(project="sentiment", entries=entries))
    assert (refused.value.code, refused.value.reason, refused.value.fields) == (BAD, "INVALID_FIELD", [field])
    assert message in refused.value.message
    assert (await project.status()).label_version == 0


async def test_a_long_annotator_is_refused(project: Caller) -> None:
    with pytest.raises(Refusal, match="annotator must be at most 256 bytes long, got 300"):
        await project.label({"i0": "negative"}, annotator="a" * 300)


async def test_items_that_were_added_a_moment_ago_can_be_labeled(project: Caller, pools: Pools) -> None:
    await project.label({"i0": "negative"})
    pools.grow("reviews", 60, 70)
    assert (await project.label({"i69": "positive"})).changed == 1


async def test_a_label_added_at_another_replica_can_be_used_at_once(
    start_selector: StartSelector, project: Caller
) -> None:
    await project.label({"i0": "negative"})
    async with start_selector() as other:
        await other.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=["mixed"]))
    assert (await project.label({"i1": "mixed"})).changed == 1


async def test_ids_and_names_may_be_any_text(selector: Caller, pools: Pools) -> None:
    import numpy as np

    names = ['"quoted"', "a\\b", "日本語/🙂", "nul\u0001ctl", "null", "[1]", "{x}", "é", "-1", "1e5"]
    labels = ['"', "null", "日本 \\ {}", "0"]
    pools.make("odd", 0)
    pools.put("odd", names, np.random.default_rng(0).standard_normal((10, 16)).astype(np.float16))
    await selector.create("p", "odd", labels)
    held = await selector.picks(10, project="p", annotator='"an\\no"')
    assert sorted(held) == sorted(names)
    said = {name: labels[number % 4] for number, name in enumerate(names[:8])}
    await selector.label(said, project="p", annotator='"an\\no"')
    found = await selector.labels("p")
    assert {label.item_id: label.label for label in found} == said
    assert {label.annotator for label in found} == {'"an\\no"'}
    response = await selector.select(5, project="p", annotator='"an\\no"', request_id='"r"')
    assert sorted(item.item.item_id for item in response.items) == sorted(names[8:])
    assert await selector.select(5, project="p", annotator='"an\\no"', request_id='"r"') == response


async def test_the_log_keeps_every_change_in_order(project: Caller, redis_url: str) -> None:
    await project.label({"i0": "negative", "i1": None}, annotator="ada")
    await project.label({"i0": "positive", "i1": None}, annotator="bob")
    await project.clear("i1", annotator="eve")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        log: list[Any] = [fields for _, fields in client.xrange(Keys("sentiment").label_log)]
    said = [(f["item"], f["action"], f["label"], f["annotator"], f["version"]) for f in log]
    assert said == [
        ("i0", "label", "negative", "ada", "1"),
        ("i1", "skip", "", "ada", "1"),
        ("i0", "label", "positive", "bob", "2"),
        ("i1", "clear", "", "eve", "3"),
    ]


async def test_the_audit_trail_says_what_was_given_to_whom_and_from_what(project: Caller, redis_url: str) -> None:
    await project.label(truth(ids(0, 6)))
    response = await project.select(
        3,
        annotator="ada",
        acquisition=pb.ACQUISITION_BALD,
        parameters=pb.AcquisitionParameters(samples=7),
        max_similarity=0.875,
        seed=9,
        request_id="r1",
    )
    await project.label(truth([response.items[0].item.item_id]))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        first, second = (fields for _, fields in client.xrange(Keys("sentiment").selections))
    assert json.loads(first["items"]) == [item.item.item_id for item in response.items]
    assert {key: first[key] for key in ("k", "annotator", "acquisition", "cold_start", "seed", "request_id")} == {
        "k": "3",
        "annotator": "ada",
        "acquisition": "BALD",
        "cold_start": "0",
        "seed": "9",
        "request_id": "r1",
    }
    assert json.loads(first["parameters"]) == {
        "samples": 7,
        "posterior": "DROPOUT",
        "dropout": 0.1,
        "sub_pool": None,
    }
    assert first["max_similarity"] == "0.875"
    assert (first["head_version"], first["pool_version"]) == ("1", "60")
    assert json.loads(second["released"]) == [response.items[0].item.item_id]


async def test_many_annotators_at_once_lose_no_label(project: Caller) -> None:
    numbers = range(60)
    await asyncio.gather(*(project.label(truth([f"i{n}"]), annotator=f"a{n % 7}") for n in numbers))
    status = await project.status()
    assert (status.labeled, status.label_version, list(status.labeled_per_label)) == (60, 60, [30, 30])
    assert {label.item_id: label.label for label in await project.labels()} == truth(ids(0, 60))
