"""Each call sends what it was given and gives back what was answered, in both clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import prepal
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from prepal import tensors
from prepal.v1 import embedder_pb2, selector_pb2

from tests.sdk.conftest import Ask
from tests.sdk.scripted import Scripted, gives

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def at_noon() -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(NOON)
    return stamp


def a_pool(name: str = "p") -> embedder_pb2.Pool:
    backbone = embedder_pb2.Backbone(
        model="minilm",
        pooling=embedder_pb2.POOLING_MEAN,
        max_length=256,
        normalize=True,
        pair_mode=embedder_pb2.PAIR_MODE_FULL,
    )
    return embedder_pb2.Pool(
        name=name, backbone=backbone, fingerprint="f", dimension=1536, items=7, version=3, created_at=at_noon()
    )


def a_project(name: str = "s") -> selector_pb2.Project:
    return selector_pb2.Project(
        name=name,
        pool="p",
        labels=["no", "yes"],
        acquisition=selector_pb2.ACQUISITION_MARGIN,
        cold_start=selector_pb2.ACQUISITION_RANDOM,
        reservation=Duration(seconds=600),
        logistic=selector_pb2.LogisticHead(inverse_regularization=10, class_weight=selector_pb2.CLASS_WEIGHT_BALANCED),
        parameters=selector_pb2.AcquisitionParameters(samples=20, posterior=selector_pb2.POSTERIOR_LAPLACE),
        fingerprint="f",
        created_at=at_noon(),
    )


POOL = prepal.Pool(
    name="p",
    backbone=prepal.Backbone(
        model="minilm",
        pooling=prepal.Pooling.MEAN,
        max_length=256,
        normalize=True,
        pairs=prepal.PairMode.FULL,
    ),
    fingerprint="f",
    dimension=1536,
    items=7,
    version=3,
    created_at=NOON,
)
PROJECT = prepal.Project(
    name="s",
    pool="p",
    labels=("no", "yes"),
    acquisition=prepal.Acquisition.MARGIN,
    cold_start=prepal.Acquisition.RANDOM,
    reservation=600.0,
    head=prepal.LogisticHead(inverse_regularization=10.0, class_weight=prepal.ClassWeight.BALANCED),
    parameters=prepal.AcquisitionParameters(samples=20, posterior="laplace"),
    fingerprint="f",
    created_at=NOON,
)


async def test_create_pool_with_a_backbone(ask: Ask, server: Scripted) -> None:
    server.script("CreatePool", gives(embedder_pb2.CreatePoolResponse(pool=a_pool())))
    made = await ask(
        lambda client: client.create_pool(
            "p", backbone="minilm", pooling="mean", max_length=256, normalize=False, pairs="Full"
        )
    )
    assert made == POOL
    (sent,) = server.requests["CreatePool"]
    assert (sent.name, sent.backbone.model, sent.backbone.max_length) == ("p", "minilm", 256)
    assert (sent.backbone.pooling, sent.backbone.pair_mode) == (embedder_pb2.POOLING_MEAN, embedder_pb2.PAIR_MODE_FULL)
    assert sent.backbone.HasField("normalize")
    assert not sent.backbone.normalize


async def test_create_pool_leaves_to_the_service_what_is_not_said(ask: Ask, server: Scripted) -> None:
    single = a_pool()
    single.backbone.pair_mode = embedder_pb2.PAIR_MODE_UNSPECIFIED
    server.script("CreatePool", gives(embedder_pb2.CreatePoolResponse(pool=single)))
    made = await ask(lambda client: client.create_pool("p", backbone="minilm"))
    assert made.backbone.pairs is None
    assert server.requests["CreatePool"][0].backbone == embedder_pb2.Backbone(model="minilm")


async def test_create_pool_for_the_clients_own_embeddings(ask: Ask, server: Scripted) -> None:
    own = embedder_pb2.Pool(name="own", dimension=768, created_at=at_noon())
    server.script("CreatePool", gives(embedder_pb2.CreatePoolResponse(pool=own)))
    made = await ask(lambda client: client.create_pool("own", dimension=768))
    assert made.backbone is None
    assert server.requests["CreatePool"][0].dimension == 768
    assert server.requests["CreatePool"][0].WhichOneof("embeddings") == "dimension"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs either a backbone, or the dimension"),
        ({"backbone": "minilm", "dimension": 3}, "needs either a backbone, or the dimension"),
        ({"dimension": 3, "pairs": "full"}, "belong to a backbone"),
        ({"backbone": "minilm", "pairs": "both"}, "pairs must be one of joint, compare, full, auto, got 'both'"),
        ({"backbone": "minilm", "pooling": "max"}, "pooling must be one of auto, mean, cls, last_token, got 'max'"),
        ({"backbone": "minilm", "max_length": -1}, "max_length must be at least 2, got -1"),
        ({"dimension": -1}, "dimension must be between 0 and 4294967295, got -1"),
    ],
)
async def test_create_pool_refuses_what_cannot_be_meant(ask: Ask, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await ask(lambda client: client.create_pool("p", **arguments))


async def test_pools_are_fetched_page_by_page(ask: Ask, server: Scripted) -> None:
    server.script(
        "ListPools",
        gives(embedder_pb2.ListPoolsResponse(pools=[a_pool("a"), a_pool("b")], next_page_token="next")),
        gives(embedder_pb2.ListPoolsResponse(pools=[a_pool("c")])),
    )
    assert [pool.name for pool in await ask(lambda client: client.pools(page_size=2))] == ["a", "b", "c"]
    assert [request.page_token for request in server.requests["ListPools"]] == ["", "next"]
    assert [request.page_size for request in server.requests["ListPools"]] == [2, 2]


async def test_delete_pool_says_whether_there_was_one(ask: Ask, server: Scripted) -> None:
    server.script("DeletePool", gives(embedder_pb2.DeletePoolResponse(deleted=True)))
    assert await ask(lambda client: client.delete_pool("p")) is True


async def test_get_items_gives_what_was_stored_and_names_what_is_missing(ask: Ask, server: Scripted) -> None:
    stored = [
        embedder_pb2.Item(item_id="a", text="one", metadata='{"source": "é"}'),
        embedder_pb2.Item(item_id="b", text="two", text_pair="", embedding=tensors.pack(np.ones(2, np.float16))),
    ]
    server.script("GetItems", gives(embedder_pb2.GetItemsResponse(items=stored, missing_ids=["c"])))
    fetched = await ask(lambda client: client.get_items("p", ["a", "b", "c"]))
    first, second = fetched
    assert first == prepal.Item("a", "one", metadata={"source": "é"})
    assert second.text_pair == ""
    assert second.embedding.tolist() == [1, 1]
    assert fetched.missing == ("c",)


async def test_get_items_splits_what_one_call_may_not_ask(ask: Ask, server: Scripted) -> None:
    server.script("GetItems", gives(embedder_pb2.GetItemsResponse()))
    await ask(lambda client: client.get_items("p", (str(number) for number in range(10_001))))
    await ask(lambda client: client.get_items("p", map(str, range(1_001)), embeddings=True))
    assert [len(request.item_ids) for request in server.requests["GetItems"]] == [10_000, 1, 1_000, 1]
    assert [request.include_embeddings for request in server.requests["GetItems"]] == [False, False, True, True]


async def test_search_items_by_each_kind_of_query(ask: Ask, server: Scripted) -> None:
    found = embedder_pb2.FoundItem(item=embedder_pb2.Item(item_id="a", text="one"), similarity=0.5)
    server.script("SearchItems", gives(embedder_pb2.SearchItemsResponse(items=[found])))
    expected = [prepal.FoundItem(item=prepal.Item("a", "one", metadata={}), similarity=0.5)]
    assert await ask(lambda client: client.search_items("p", "query")) == expected
    await ask(lambda client: client.search_items("p", ("query", "pair"), k=3))
    await ask(lambda client: client.search_items("p", item="b"))
    await ask(lambda client: client.search_items("p", vector=[0.5, 0.5]))
    single, pair, item, vector = server.requests["SearchItems"]
    assert (single.text.text, single.text.HasField("text_pair"), single.k) == ("query", False, 10)
    assert (pair.text.text, pair.text.text_pair, pair.k) == ("query", "pair", 3)
    assert item.item_id == "b"
    assert tensors.unpack(vector.vector).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "item": "b"}])
async def test_search_items_wants_one_query(ask: Ask, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of text, item and vector"):
        await ask(lambda client: client.search_items("p", **arguments))


async def test_embed_joins_calls_of_a_size_the_service_takes(ask: Ask, server: Scripted) -> None:
    def answer(request: Any, context: Any) -> embedder_pb2.EmbedResponse:
        rows = np.array([[float(text.text), 1.0] for text in request.inputs], np.float32)
        return embedder_pb2.EmbedResponse(embeddings=tensors.pack(rows))

    server.script("Embed", answer)
    texts = [str(number) for number in range(600)]
    vectors = await ask(lambda client: client.embed(texts))
    assert vectors.dtype == np.float32
    assert vectors.shape == (600, 2)
    assert vectors[:, 0].tolist() == list(range(600))
    assert [len(request.inputs) for request in server.requests["Embed"]] == [256, 256, 88]


@pytest.mark.parametrize("texts", [[], "one string"])
async def test_embed_wants_a_list_of_texts(ask: Ask, texts: Any) -> None:
    with pytest.raises(ValueError, match="texts must be a list of at least one text"):
        await ask(lambda client: client.embed(texts))


async def test_create_project_sends_every_setting(ask: Ask, server: Scripted) -> None:
    server.script("CreateProject", gives(selector_pb2.CreateProjectResponse(project=a_project())))
    made = await ask(
        lambda client: client.create_project(
            "s",
            pool="p",
            labels=["no", "yes"],
            acquisition="MARGIN",
            parameters=prepal.AcquisitionParameters(samples=20, posterior="laplace"),
            cold_start=prepal.Acquisition.RANDOM,
            reservation=timedelta(minutes=10),
            head=prepal.LogisticHead(inverse_regularization=10, class_weight=prepal.ClassWeight.BALANCED),
        )
    )
    assert made == PROJECT
    (sent,) = server.requests["CreateProject"]
    assert sent == selector_pb2.CreateProjectRequest(
        name="s",
        pool="p",
        labels=["no", "yes"],
        acquisition=selector_pb2.ACQUISITION_MARGIN,
        cold_start=selector_pb2.ACQUISITION_RANDOM,
        reservation=Duration(seconds=600),
        logistic=a_project().logistic,
        parameters=a_project().parameters,
    )


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            prepal.McDropoutHead(hidden=[64, 32], dropout=0.2, max_epochs=50),
            selector_pb2.McDropoutHead(
                hidden=[64, 32], dropout=0.2, inverse_regularization=10, learning_rate=0.01, max_epochs=50
            ),
        ),
        (
            prepal.SvmHead(inverse_regularization=2.0, class_weight=prepal.ClassWeight.BALANCED),
            selector_pb2.SvmHead(inverse_regularization=2, class_weight=selector_pb2.CLASS_WEIGHT_BALANCED),
        ),
    ],
    ids=["mc_dropout", "svm"],
)
async def test_a_head_of_another_kind_goes_there_and_comes_back(
    ask: Ask, server: Scripted, head: prepal.Head, message: Message
) -> None:
    answer = a_project()
    kind = "svm" if isinstance(head, prepal.SvmHead) else "mc_dropout"
    getattr(answer, kind).CopyFrom(message)
    server.script("UpdateProject", gives(selector_pb2.UpdateProjectResponse(project=answer)))
    made = await ask(lambda client: client.update_project("s", head=head))
    (sent,) = server.requests["UpdateProject"]
    assert sent == selector_pb2.UpdateProjectRequest(project="s", **{kind: message})
    assert made.head == head


async def test_parameters_and_an_installed_function_are_sent_and_come_back(ask: Ask, server: Scripted) -> None:
    response = selector_pb2.SelectResponse(custom_acquisition="acme.novelty", labels=["no", "yes"])
    server.script("Select", gives(response))
    every = prepal.AcquisitionParameters(
        samples=1, posterior="dropout", dropout=0.2, beta=0.0, configurations=2, sub_batches=3, sub_pool=0,
        neighbours=4, clusters=5, candidates=6, radius=0.7, representation="penultimate",
    )  # fmt: skip
    selection = await ask(
        lambda client: client.select("s", k=1, acquisition="acme.novelty", parameters=every, max_similarity=0.9)
    )
    assert selection.acquisition == "acme.novelty"
    (sent,) = server.requests["Select"]
    assert (sent.custom_acquisition, sent.acquisition, sent.max_similarity) == ("acme.novelty", 0, 0.9)
    assert sent.parameters == selector_pb2.AcquisitionParameters(
        samples=1, posterior=selector_pb2.POSTERIOR_DROPOUT, dropout=0.2, beta=0.0, configurations=2, sub_batches=3,
        sub_pool=0, neighbours=4, clusters=5, candidates=6, radius=0.7,
        representation=selector_pb2.REPRESENTATION_PENULTIMATE,
    )  # fmt: skip


async def test_a_parameter_that_no_message_can_carry_is_named(ask: Ask) -> None:
    for bad in (-1, "many", 1.5):
        wrong = prepal.AcquisitionParameters(samples=bad)
        with pytest.raises(ValueError, match="samples must be a number that is not negative, got"):
            await ask(lambda client, wrong=wrong: client.select("s", k=1, parameters=wrong))
    with pytest.raises(ValueError, match="posterior must be one of dropout, laplace, got 'gauss'"):
        await ask(lambda client: client.select("s", k=1, parameters=prepal.AcquisitionParameters(posterior="gauss")))


async def test_a_reservation_of_zero_is_said_and_one_not_given_is_not(ask: Ask, server: Scripted) -> None:
    server.script("CreateProject", gives(selector_pb2.CreateProjectResponse(project=a_project())))
    await ask(lambda client: client.create_project("s", pool="p", labels=["a", "b"], reservation=0))
    await ask(lambda client: client.create_project("s", pool="p", labels=["a", "b"]))
    zero, unset = server.requests["CreateProject"]
    assert zero.HasField("reservation")
    assert not unset.HasField("reservation")
    assert not unset.HasField("logistic")


async def test_an_unknown_acquisition_is_answered_with_the_legal_ones(ask: Ask) -> None:
    legal = f"acquisition must be one of {', '.join(prepal.Acquisition)}, got 'entropy'"
    with pytest.raises(ValueError, match=legal):
        await ask(lambda client: client.select("s", k=1, acquisition="entropy"))


async def test_labels_given_as_one_string_are_refused(ask: Ask) -> None:
    with pytest.raises(ValueError, match="labels must be a list of names, got the one string 'yes'"):
        await ask(lambda client: client.create_project("s", pool="p", labels="yes"))


async def test_get_project_gives_settings_and_counts(ask: Ask, server: Scripted) -> None:
    counts = selector_pb2.ProjectStatus(
        items=10,
        labeled=3,
        skipped=1,
        reserved=2,
        labeled_per_label=[1, 2],
        label_version=4,
        head_version=2,
        head_label_version=3,
    )
    first = selector_pb2.StoppingSignals(labeled=20, head_version=1, uncertainty=0.9, expected_error=0.4)
    second = selector_pb2.StoppingSignals(labeled=40, head_version=2, since=20, agreement=0.99, change=0.0)
    stopping = selector_pb2.Stopping(history=[first, second], stabilised=True)
    response = selector_pb2.GetProjectResponse(project=a_project(), status=counts, stopping=stopping)
    server.script("GetProject", gives(response))
    status = await ask(lambda client: client.get_project("s"))
    assert status == prepal.ProjectStatus(
        project=PROJECT,
        items=10,
        labeled=3,
        skipped=1,
        reserved=2,
        labeled_per_label={"no": 1, "yes": 2},
        label_version=4,
        head_version=2,
        head_label_version=3,
        stopping=(
            prepal.StoppingSignals(
                labeled=20,
                head_version=1,
                since=None,
                agreement=None,
                change=None,
                uncertainty=0.9,
                expected_error=0.4,
            ),
            prepal.StoppingSignals(
                labeled=40,
                head_version=2,
                since=20,
                agreement=0.99,
                change=0.0,
                uncertainty=None,
                expected_error=None,
            ),
        ),
        stabilised=True,
    )


async def test_projects_are_fetched_page_by_page(ask: Ask, server: Scripted) -> None:
    server.script(
        "ListProjects",
        gives(selector_pb2.ListProjectsResponse(projects=[a_project("a")], next_page_token="next")),
        gives(selector_pb2.ListProjectsResponse(projects=[a_project("b")])),
    )
    assert [project.name for project in await ask(lambda client: client.projects())] == ["a", "b"]
    assert [request.page_token for request in server.requests["ListProjects"]] == ["", "next"]


async def test_update_project_sends_only_what_changes(ask: Ask, server: Scripted) -> None:
    server.script("UpdateProject", gives(selector_pb2.UpdateProjectResponse(project=a_project())))
    await ask(lambda client: client.update_project("s", add_labels=["maybe"]))
    assert server.requests["UpdateProject"] == [selector_pb2.UpdateProjectRequest(project="s", add_labels=["maybe"])]


async def test_delete_project_says_whether_there_was_one(ask: Ask, server: Scripted) -> None:
    server.script("DeleteProject", gives(selector_pb2.DeleteProjectResponse()))
    assert await ask(lambda client: client.delete_project("s")) is False


async def test_a_selection_gives_each_item_its_score_and_probabilities(ask: Ask, server: Scripted) -> None:
    response = selector_pb2.SelectResponse(
        items=[
            selector_pb2.SelectedItem(item=embedder_pb2.Item(item_id="a", text="one", metadata='{"n":1}'), score=0.75),
            selector_pb2.SelectedItem(item=embedder_pb2.Item(item_id="b", text="two", text_pair="2"), score=0.5),
        ],
        probabilities=tensors.pack(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)),
        labels=["no", "yes"],
        acquisition=selector_pb2.ACQUISITION_MAX_ENTROPY,
        head_version=5,
        pool_version=6,
        seed=2**63,
        remaining=8,
        timing=selector_pb2.SelectTiming(fit_seconds=1, score_seconds=2, pick_seconds=3, fetch_seconds=4),
    )
    server.script("Select", gives(response))
    selection = await ask(
        lambda client: client.select(
            "s", k=2, acquisition="max_entropy", annotator="ann", reservation=1.5, seed=2**63, allow_stale_head=True
        )
    )
    assert selection.ids == ["a", "b"]
    assert [item.text for item in selection] == ["one", "two"]
    assert selection.items[0].metadata == {"n": 1}
    assert selection.items[1].text_pair == "2"
    assert selection.items[1].score == 0.5
    assert selection.items[1].probabilities.tolist() == [0.25, 0.75]
    assert selection.labels == ("no", "yes")
    assert selection.acquisition == "max_entropy"
    assert (selection.head_version, selection.pool_version, selection.seed, selection.remaining) == (5, 6, 2**63, 8)
    assert selection.timing == prepal.SelectTiming(fit=1, score=2, pick=3, fetch=4)
    (sent,) = server.requests["Select"]
    assert (sent.project, sent.k, sent.annotator, sent.seed, sent.allow_stale_head) == ("s", 2, "ann", 2**63, True)
    assert sent.reservation == Duration(seconds=1, nanos=500_000_000)


async def test_a_selection_without_a_head_has_empty_probabilities(ask: Ask, server: Scripted) -> None:
    item = selector_pb2.SelectedItem(item=embedder_pb2.Item(item_id="a", text="one"))
    response = selector_pb2.SelectResponse(
        items=[item], cold_start=True, acquisition=selector_pb2.ACQUISITION_RANDOM, labels=["no", "yes"]
    )
    server.script("Select", gives(response))
    selection = await ask(lambda client: client.select("s", k=1))
    assert selection.cold_start
    assert selection.items[0].probabilities.shape == (0,)
    assert selection.probabilities.shape == (1, 0)


async def test_an_acquisition_of_a_newer_service_is_named(ask: Ask, server: Scripted) -> None:
    response = selector_pb2.SelectResponse.FromString(b"\x20\x63")
    assert response.acquisition == 99
    server.script("Select", gives(response))
    with pytest.raises(prepal.errors.Internal, match="answered acquisition 99, which this version of prepal does not"):
        await ask(lambda client: client.select("s", k=1))


@pytest.mark.parametrize(("k", "error"), [(-1, ValueError), (2**32, ValueError), (1.5, TypeError), ("3", TypeError)])
async def test_a_k_that_cannot_be_sent_is_named(ask: Ask, k: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="k must be"):
        await ask(lambda client: client.select("s", k=k))


async def test_labels_skips_and_clears_are_recorded(ask: Ask, server: Scripted) -> None:
    server.script(
        "RecordLabels",
        gives(selector_pb2.RecordLabelsResponse(changed=2, unchanged=1, label_version=9, labeled=4)),
    )
    said = {"a": "yes", "b": prepal.SKIP, "c": prepal.CLEAR}
    recorded = await ask(lambda client: client.record_labels("s", said, annotator="ann"))
    assert recorded == prepal.RecordedLabels(changed=2, unchanged=1, label_version=9, labeled=4)
    await ask(lambda client: client.record_labels("s", said.items()))
    for sent in server.requests["RecordLabels"]:
        assert [entry.item_id for entry in sent.entries] == ["a", "b", "c"]
        assert [entry.WhichOneof("action") for entry in sent.entries] == ["label", "skip", "clear"]
        assert sent.entries[0].label == "yes"
    assert server.requests["RecordLabels"][0].annotator == "ann"


async def test_a_label_that_is_none_is_named(ask: Ask) -> None:
    with pytest.raises(ValueError, match=r"the label of item 'a' must be a string, prepal.SKIP or prepal.CLEAR, got 3"):
        await ask(lambda client: client.record_labels("s", {"a": 3}))


async def test_labels_are_listed_page_by_page(ask: Ask, server: Scripted) -> None:
    label = selector_pb2.Label(item_id="a", label="yes", annotator="ann", time=at_noon())
    skip = selector_pb2.Label(item_id="b", skipped=True, time=at_noon())
    server.script(
        "ListLabels",
        gives(selector_pb2.ListLabelsResponse(labels=[label], next_page_token="next")),
        gives(selector_pb2.ListLabelsResponse(labels=[skip])),
    )
    assert await ask(lambda client: client.list_labels("s")) == [
        prepal.Label(item_id="a", label="yes", skipped=False, annotator="ann", time=NOON),
        prepal.Label(item_id="b", label=None, skipped=True, annotator="", time=NOON),
    ]


def predicted(ids: list[str], rows: list[list[float]], labels: list[str], head: int) -> selector_pb2.PredictResponse:
    return selector_pb2.PredictResponse(
        item_ids=ids, probabilities=tensors.pack(np.array(rows, np.float32)), labels=labels, head_version=head
    )


async def test_predictions_of_several_chunks_are_joined(ask: Ask, server: Scripted) -> None:
    chunks = [predicted(["a"], [[0.75, 0.25]], ["no", "yes"], 4), predicted(["b"], [[0.25, 0.75]], ["no", "yes"], 4)]
    server.script("Predict", gives(chunks))
    predictions = await ask(lambda client: client.predict("s", pool="p"))
    assert predictions.ids == ("a", "b")
    assert predictions.probabilities.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert predictions.best == ["no", "yes"]
    assert predictions.head_version == 4
    assert server.requests["Predict"][0].pool == "p"


async def test_a_label_added_between_two_chunks_is_a_column_of_zeros_before(ask: Ask, server: Scripted) -> None:
    chunks = [predicted(["a"], [[1, 0]], ["no", "yes"], 4), predicted(["b"], [[0, 0, 1]], ["no", "yes", "maybe"], 5)]
    server.script("Predict", gives(chunks))
    predictions = await ask(lambda client: client.predict("s", pool="p"))
    assert predictions.probabilities.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert predictions.best == ["no", "maybe"]
    assert predictions.head_version == 5


async def test_the_predictions_of_an_empty_pool_are_empty(ask: Ask, server: Scripted) -> None:
    server.script("Predict", gives([]))
    predictions = await ask(lambda client: client.predict("s", pool="p"))
    assert (len(predictions), predictions.best, predictions.ids) == (0, [], ())


async def test_predict_splits_what_one_call_may_not_ask(ask: Ask, server: Scripted) -> None:
    server.script("Predict", gives([]))
    await ask(lambda client: client.predict("s", texts=["t"] * 257))
    await ask(lambda client: client.predict("s", items=map(str, range(10_001))))
    asked = server.requests["Predict"]
    assert [len(request.texts.inputs) for request in asked[:2]] == [256, 1]
    assert [len(request.item_ids.item_ids) for request in asked[2:]] == [10_000, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of texts, items and pool"),
        ({"texts": ["a"], "pool": "p"}, "exactly one of texts, items and pool"),
        ({"texts": "one string"}, "texts must be a list"),
        ({"items": "one string"}, "items must be a list"),
        ({"texts": [("a", "b", "c")]}, "a text must be a string, or a pair of strings"),
    ],
)
async def test_predict_refuses_what_cannot_be_meant(ask: Ask, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await ask(lambda client: client.predict("s", **arguments))
