"""Projects over real gRPC and a real Redis."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
import redis
from google.protobuf.duration_pb2 import Duration
from prepal.v1 import selector_pb2 as pb

from services.selector.state.keys import INDEX, Keys
from tests.selector.pools import Pools
from tests.selector.selecting import Caller, Refusal, lasting, truth

BAD = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_project_is_created_with_every_default_resolved(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 3)
    before = time.time()
    project = await selector.create("sentiment", "reviews", ["negative", "positive"])
    assert project.acquisition == pb.ACQUISITION_MAX_ENTROPY
    assert project.cold_start == pb.ACQUISITION_RANDOM
    assert project.reservation.seconds == 600
    assert project.logistic.inverse_regularization == 10
    assert project.fingerprint == "own-16"
    assert before - 2 < project.created_at.ToSeconds() < time.time() + 2
    found = await selector.call("GetProject", pb.GetProjectRequest(project="sentiment"))
    assert found.project == project
    assert found.status == pb.ProjectStatus(items=3, labeled_per_label=[0, 0])


async def test_a_project_is_created_with_what_is_asked(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 3)
    asked: dict[str, Any] = {
        "acquisition": pb.ACQUISITION_MARGIN,
        "reservation": lasting(0),
        "logistic": pb.LogisticHead(inverse_regularization=0.5, class_weight=pb.CLASS_WEIGHT_BALANCED),
    }
    project = await selector.create("p", "reviews", ["b", "a", "ü ∑"], **asked)
    assert list(project.labels) == ["b", "a", "ü ∑"]
    assert project.acquisition == asked["acquisition"]
    assert project.reservation == asked["reservation"]
    assert project.logistic == asked["logistic"]


async def test_creating_again_returns_the_project_and_another_definition_is_refused(
    project: Caller, pools: Pools
) -> None:
    labels = ["negative", "positive"]
    first = await project.create("sentiment", "reviews", labels)
    assert await project.create("sentiment", "reviews", labels, reservation=lasting(600)) == first
    pools.make("other", 2)
    for other in (("other", labels), ("reviews", ["positive", "negative"]), ("reviews", [*labels, "neutral"])):
        with pytest.raises(Refusal, match="another definition") as refused:
            await project.create("sentiment", *other)
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS")
    await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=["neutral"]))
    assert list((await project.create("sentiment", "reviews", labels)).labels) == [*labels, "neutral"]
    assert list((await project.create("sentiment", "reviews", [*labels, "neutral"])).labels) == [*labels, "neutral"]


async def test_of_many_who_create_one_project_all_get_the_same(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 2)
    made = await asyncio.gather(*(selector.create("p", "reviews", ["a", "b"]) for _ in range(12)))
    assert all(project == made[0] for project in made)
    listed = await selector.call("ListProjects", pb.ListProjectsRequest())
    assert [project.name for project in listed.projects] == ["p"]


def request(**changes: Any) -> pb.CreateProjectRequest:
    fields: dict[str, Any] = {"name": "p", "pool": "reviews", "labels": ["a", "b"], **changes}
    return pb.CreateProjectRequest(**fields)


@pytest.mark.parametrize(
    ("asked", "field", "message"),
    [
        (request(name=""), "name", "name must be given, got an empty name"),
        (request(name="-p"), "name", "name must be 1 to 128 of a-z A-Z 0-9 . _ - and begin with a letter or digit"),
        (request(name="p{x}"), "name", "got 'p{x}'"),
        (request(pool=""), "pool", "pool must be given"),
        (request(pool="../etc"), "pool", "got '../etc'"),
        (request(labels=[]), "labels", "labels must be between 2 and 1000 different names, got 0"),
        (request(labels=["a"]), "labels", "labels must be between 2 and 1000 different names, got 1"),
        (request(labels=[str(n) for n in range(1_001)]), "labels", "got 1001"),
        (
            request(labels=["a", "b", "a"]),
            "labels[2]",
            "labels[2] must differ from the others, got 'a' again after labels[0]",
        ),
        (request(labels=["a", " "]), "labels[1]", "labels[1] must not be empty"),
        (request(labels=["a", "é" * 129]), "labels[1]", "labels[1] must be at most 256 bytes long, got 258"),
        (
            request(acquisition=99),
            "acquisition",
            "acquisition must be one of RANDOM, MAX_ENTROPY, VARIATION_RATIO, MARGIN, ",
        ),
        (
            request(cold_start=pb.ACQUISITION_MARGIN),
            "cold_start",
            "must need neither head nor labels: RANDOM, ",
        ),
        (request(reservation=Duration(seconds=86_401)), "reservation", "between 0 and 24 hours (86400 s), got 86401 s"),
        (request(reservation=Duration(seconds=-1)), "reservation", "got -1 s"),
        (request(logistic=pb.LogisticHead(inverse_regularization=-1)), "logistic.inverse_regularization", "got -1"),
        (
            request(logistic=pb.LogisticHead(inverse_regularization=2e6)),
            "logistic.inverse_regularization",
            "at most 1e6",
        ),
        (
            request(logistic=pb.LogisticHead(inverse_regularization=float("nan"))),
            "logistic.inverse_regularization",
            "nan",
        ),
        (request(logistic=pb.LogisticHead(class_weight=7)), "logistic.class_weight", "got 7"),
    ],
)
async def test_a_bad_definition_is_refused_by_field(selector: Caller, asked: Any, field: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        await selector.call("CreateProject", asked)
    assert (refused.value.code, refused.value.reason) == (BAD, "INVALID_FIELD")
    assert refused.value.fields == [field]
    assert message in refused.value.message


async def test_every_bad_field_is_named_at_once(selector: Caller) -> None:
    with pytest.raises(Refusal) as refused:
        await selector.call("CreateProject", pb.CreateProjectRequest(labels=["a"]))
    assert refused.value.fields == ["name", "pool", "labels"]


async def test_a_pool_that_does_not_exist_is_named(selector: Caller) -> None:
    with pytest.raises(Refusal, match="pool 'nowhere' does not exist") as refused:
        await selector.create("p", "nowhere", ["a", "b"])
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")
    listed = await selector.call("ListProjects", pb.ListProjectsRequest())
    assert not listed.projects


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("GetProject", pb.GetProjectRequest(project="nobody")),
        ("UpdateProject", pb.UpdateProjectRequest(project="nobody", add_labels=["x"])),
        ("Select", pb.SelectRequest(project="nobody", k=1)),
        ("RecordLabels", pb.RecordLabelsRequest(project="nobody", entries=[pb.LabelEntry(item_id="a", label="b")])),
        ("ListLabels", pb.ListLabelsRequest(project="nobody")),
    ],
)
async def test_a_project_that_does_not_exist_is_named(selector: Caller, method: str, asked: Any) -> None:
    with pytest.raises(Refusal, match="project 'nobody' does not exist") as refused:
        await selector.call(method, asked)
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")


@pytest.mark.parametrize("method", ["GetProject", "DeleteProject", "ListLabels", "UpdateProject", "Select"])
async def test_an_empty_project_name_is_refused(selector: Caller, method: str) -> None:
    asked = getattr(pb, f"{method}Request")()
    with pytest.raises(Refusal) as refused:
        await selector.call(method, asked)
    assert (refused.value.code, refused.value.reason) == (BAD, "INVALID_FIELD")
    assert "project" in refused.value.fields


async def test_settings_change_one_by_one_and_the_rest_stays(project: Caller) -> None:
    async def update(**fields: Any) -> pb.Project:
        return (await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", **fields))).project

    before = (await project.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project
    assert await update() == before
    before.acquisition = pb.ACQUISITION_MARGIN
    assert await update(acquisition=pb.ACQUISITION_MARGIN) == before
    before.reservation.CopyFrom(lasting(0))
    assert await update(reservation=lasting(0)) == before
    before.labels.extend(["neutral", "mixed"])
    assert await update(add_labels=["neutral", "positive", "mixed"]) == before
    before.logistic.CopyFrom(pb.LogisticHead(inverse_regularization=2, class_weight=pb.CLASS_WEIGHT_BALANCED))
    assert await update(logistic=before.logistic) == before
    assert (await project.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project == before


async def test_changes_at_the_same_time_are_all_made(project: Caller) -> None:
    names = [f"label {number}" for number in range(10)]
    await asyncio.gather(
        *(
            project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=[name]))
            for name in names
        )
    )
    found = (await project.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project
    assert sorted(found.labels[2:]) == sorted(names)


async def test_a_project_has_at_most_1000_labels(project: Caller) -> None:
    add = [f"l{number}" for number in range(999)]
    with pytest.raises(Refusal, match="labels must be at most 1000 in all, got 1001") as refused:
        await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=add))
    assert (refused.value.code, refused.value.reason) == (BAD, "INVALID_FIELD")


async def test_projects_are_listed_in_order_a_page_at_a_time(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 1)
    names = ["a", "a-2", "a.b", "ab", "b", "B", "10", "9"]
    for name in names:
        await selector.create(name, "reviews", ["x", "y"])
    found, token, pages = [], "", 0
    while True:
        page = await selector.call("ListProjects", pb.ListProjectsRequest(page_size=3, page_token=token))
        found += [project.name for project in page.projects]
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(names)
    assert pages == 3
    with pytest.raises(Refusal, match="page_token must be the next_page_token") as refused:
        await selector.call("ListProjects", pb.ListProjectsRequest(page_token="?"))
    assert refused.value.code == BAD
    with pytest.raises(Refusal, match="page_size must be between 0 and 1000, got 1001"):
        await selector.call("ListProjects", pb.ListProjectsRequest(page_size=1_001))


async def test_a_deleted_project_is_gone_with_everything_and_its_name_is_free(project: Caller, redis_url: str) -> None:
    chosen = await project.picks(4)
    await project.label(truth(chosen), request_id="r")
    await project.select(2, request_id="s")
    assert (await project.call("DeleteProject", pb.DeleteProjectRequest(project="sentiment"))).deleted
    assert not (await project.call("DeleteProject", pb.DeleteProjectRequest(project="sentiment"))).deleted
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*") == []
    with pytest.raises(Refusal, match="does not exist"):
        await project.select(1)
    await project.create("sentiment", "reviews", ["negative", "positive"])
    assert await project.status() == pb.ProjectStatus(items=60, labeled_per_label=[0, 0])
    again = await project.select(60)
    assert again.cold_start
    assert len(again.items) == 60


async def test_a_create_that_died_half_way_is_not_listed_and_swept_after_an_hour(
    selector: Caller, pools: Pools, redis_url: str
) -> None:
    pools.make("reviews", 1)
    now = int(time.time() * 1_000)
    old, new = f"dead\0{now - 3_700_000}-x", f"dying\0{now}-y"
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(INDEX, {old: 0, new: 0})
        await selector.create("living", "reviews", ["a", "b"])
        listed = await selector.call("ListProjects", pb.ListProjectsRequest())
        assert [project.name for project in listed.projects] == ["living"]
        left = client.zrange(INDEX, 0, -1)
    assert new.encode() in left
    assert old.encode() not in left


async def test_all_keys_of_a_project_share_a_hash_slot(project: Caller, redis_url: str) -> None:
    await project.label({"i1": "positive", "i2": "negative", "i3": None}, request_id="r")
    await project.select(3, request_id="s")
    with redis.Redis.from_url(redis_url) as client:
        keys = {key.decode() for key in client.keys("prepal:*")}
    assert keys == {INDEX, *Keys("sentiment").all()}
    assert all(key.startswith("prepal:{sentiment}:") for key in keys - {INDEX})


async def test_a_project_whose_pool_is_gone_can_still_be_read(project: Caller, pools: Pools) -> None:
    await project.label({"i1": "positive"})
    pools.store.delete("reviews")
    status = await project.status()
    assert (status.items, status.labeled) == (0, 1)
    assert [label.item_id for label in await project.labels()] == ["i1"]
    for call in (project.select(1), project.label({"i2": "positive"})):
        with pytest.raises(Refusal, match="pool 'reviews' does not exist") as refused:
            await call
        assert refused.value.reason == "POOL_NOT_FOUND"
