"""Each command sends what it was told and prints what came back, for people and for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prepal import tensors
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2

from tests.cli.conftest import Run
from tests.sdk.scripted import Scripted, gives, refuses
from tests.sdk.test_calls import a_pool, a_project
from tests.sdk.test_jobs import WHOLE, a_job, watched

NOT_FOUND = grpc.StatusCode.NOT_FOUND


def takes_all(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    total = 0
    for number, request in enumerate(requests):
        total += len(request.items)
        yield embedder_pb2.AddItemsResponse(chunk=number, accepted=len(request.items), pool_items=total)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    file = tmp_path / "reviews.tsv"
    file.write_text("id\ttext\tlabel\nr1\ta fine film\tpositive\nr2\ta dull one\tnegative\n")
    return file


@pytest.fixture
def nli(tmp_path: Path) -> Path:
    file = tmp_path / "nli.jsonl"
    file.write_text('{"id": "a", "text": "one", "text_pair": "two", "label": "yes"}\n')
    return file


class TestAdd:
    def test_creates_the_pool_and_adds_the_items(self, run: Run, server: Scripted, reviews: Path) -> None:
        server.script("GetPool", refuses(NOT_FOUND, "no", "POOL_NOT_FOUND"))
        server.script("CreatePool", gives(embedder_pb2.CreatePoolResponse(pool=a_pool())))
        server.script("AddItems", takes_all)
        ran = run("add", "reviews", reviews)
        assert (ran.status, ran.out, ran.err) == (0, "2 added; pool reviews has 2 items\n", "")
        assert server.requests["CreatePool"][0].backbone == embedder_pb2.Backbone(model="minilm")
        sent = server.requests["AddItems"][0].items
        assert [(item.item_id, item.text, item.HasField("text_pair")) for item in sent] == [
            ("r1", "a fine film", False),
            ("r2", "a dull one", False),
        ]

    def test_a_file_of_pairs_makes_a_pool_of_pairs(self, run: Run, server: Scripted, nli: Path) -> None:
        server.script("GetPool", refuses(NOT_FOUND, "no", "POOL_NOT_FOUND"))
        server.script("CreatePool", gives(embedder_pb2.CreatePoolResponse(pool=a_pool())))
        server.script("AddItems", takes_all)
        run("add", "nli", nli)
        run("add", "nli", nli, "--pairs", "full", "--backbone", "some/model")
        automatic, full = (request.backbone for request in server.requests["CreatePool"])
        assert (automatic.model, automatic.pair_mode) == ("minilm", embedder_pb2.PAIR_MODE_AUTO)
        assert (full.model, full.pair_mode) == ("some/model", embedder_pb2.PAIR_MODE_FULL)
        assert server.requests["AddItems"][0].items[0].text_pair == "two"

    def test_a_pool_that_is_there_is_taken_as_it_is(self, run: Run, server: Scripted, reviews: Path) -> None:
        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=a_pool())))
        server.script("AddItems", takes_all)
        assert run("add", "reviews", reviews).status == 0
        assert server.calls["CreatePool"] == 0

    def test_rejected_items_are_named_and_make_status_1(self, run: Run, server: Scripted, reviews: Path) -> None:
        def rejects(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            next(requests)
            ack = embedder_pb2.AddItemsResponse(accepted=1, already_there=1, truncated=1, pool_items=1)
            for number in range(12):
                ack.rejected.add(index=number, item_id=f"i{number}", reason="TEXT_CHANGED", message="another text")
            yield ack

        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=a_pool())))
        server.script("AddItems", rejects)
        ran = run("add", "reviews", reviews)
        assert ran.status == 1
        assert ran.out == (
            "1 added, 1 already there, 12 rejected, 1 embedded from their beginning only, for their length; "
            "pool reviews has 1 items\n"
        )
        assert ran.err.startswith("rejected 'i0' (TEXT_CHANGED): another text\n")
        assert ran.err.endswith("and 2 more with TEXT_CHANGED\n")

    def test_json_and_a_bar(self, run: Run, server: Scripted, reviews: Path) -> None:
        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=a_pool())))
        server.script("AddItems", takes_all)
        ran = run("add", "reviews", reviews, "--json", "--progress")
        assert ran.json == {"accepted": 2, "already_there": 0, "rejected": [], "truncated": 0, "pool_items": 2}
        assert "reviews: 2 items" in ran.err

    def test_a_malformed_file_is_status_1_with_its_place(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        file = tmp_path / "bad.tsv"
        file.write_text("id\ttext\nr1\ta fine film\nr2\n")
        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=a_pool())))
        server.script("AddItems", takes_all)
        ran = run("add", "reviews", file)
        assert ran.status == 1
        assert ran.err.startswith(f"prepal: {file}, line 3: 1 field, but the header names 2")


class TestPools:
    def test_a_table_and_json(self, run: Run, server: Scripted) -> None:
        server.script("ListPools", gives(embedder_pb2.ListPoolsResponse(pools=[a_pool("a"), a_pool("longer")])))
        header, first, second = run("pools").out.splitlines()
        assert header.split() == ["pool", "items", "backbone", "pairs", "dimension", "created"]
        assert first.split()[:5] == ["a", "7", "minilm", "full", "1,536"]
        assert second.startswith("longer ")
        assert [pool["name"] for pool in run("pools", "--json").json] == ["a", "longer"]

    def test_none_at_all_says_how_to_make_one(self, run: Run, server: Scripted) -> None:
        server.script("ListPools", gives(embedder_pb2.ListPoolsResponse()))
        assert run("pools").out == "there are no pools; make one with: prepal add NAME FILE\n"
        assert run("pools", "--json").json == []

    def test_show_and_delete(self, run: Run, server: Scripted) -> None:
        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=a_pool())))
        server.script("DeletePool", gives(embedder_pb2.DeletePoolResponse(deleted=True)))
        assert "max length   256\n" in run("pools", "show", "p").out
        assert run("pools", "show", "p", "--json").json["backbone"]["pairs"] == "full"
        assert run("pools", "delete", "p").out == "pool p is deleted\n"

    @pytest.mark.parametrize("arguments", [["show"], ["list", "p"]])
    def test_a_name_is_wanted_or_not(self, run: Run, arguments: list[str]) -> None:
        ran = run("pools", *arguments)
        assert ran.status == 2
        assert "takes" in ran.err


class TestProjects:
    def test_the_list_shows_how_much_is_labeled(self, run: Run, server: Scripted) -> None:
        server.script("ListProjects", gives(selector_pb2.ListProjectsResponse(projects=[a_project()])))
        counts = selector_pb2.ProjectStatus(items=1000, labeled=30, labeled_per_label=[10, 20])
        server.script("GetProject", gives(selector_pb2.GetProjectResponse(project=a_project(), status=counts)))
        _, row = run("projects").out.splitlines()
        assert row.split() == ["s", "p", "no,", "yes", "margin", "30", "1,000"]
        assert run("projects", "--json").json[0]["name"] == "s"
        shown = run("projects", "show", "s").out
        assert "labeled      30 (no 10, yes 20)\n" in shown
        assert "head         logistic, C = 10, balanced class weights\n" in shown

    def test_create_sends_the_settings(self, run: Run, server: Scripted) -> None:
        server.script("CreateProject", gives(selector_pb2.CreateProjectResponse(project=a_project())))
        ran = run(
            *("projects", "create", "s", "--pool", "p", "--label", "no", "--label", "yes", "--acquisition", "margin"),
            *("--reservation", "0", "--class-weight", "balanced"),
        )
        assert ran.status == 0
        (sent,) = server.requests["CreateProject"]
        assert (sent.name, sent.pool, sent.labels) == ("s", "p", ["no", "yes"])
        assert sent.acquisition == selector_pb2.ACQUISITION_MARGIN
        assert sent.reservation.seconds == 0
        assert sent.HasField("reservation")
        assert (sent.logistic.inverse_regularization, sent.logistic.class_weight) == (10, 1)

    def test_create_sends_head_cold_start_and_parameters(self, run: Run, server: Scripted) -> None:
        server.script("CreateProject", gives(selector_pb2.CreateProjectResponse(project=a_project())))
        ran = run(
            *("projects", "create", "s", "--pool", "p", "--label", "no", "--label", "yes", "--cold-start", "typiclust"),
            *("--head", "mc_dropout", "--hidden", "64", "--hidden", "32", "--head-dropout", "0.2", "--samples", "7"),
            *("--posterior", "laplace", "--inverse-regularization", "3"),
        )
        assert ran.status == 0
        (sent,) = server.requests["CreateProject"]
        assert sent.cold_start == selector_pb2.ACQUISITION_TYPICLUST
        head = sent.mc_dropout
        assert (list(head.hidden), head.dropout, head.inverse_regularization) == ([64, 32], 0.2, 3)
        assert sent.parameters == selector_pb2.AcquisitionParameters(
            samples=7, posterior=selector_pb2.POSTERIOR_LAPLACE
        )

    def test_a_setting_of_another_head_is_refused(self, run: Run) -> None:
        ran = run("projects", "create", "s", "--pool", "p", "--label", "a", "--label", "b", "--hidden", "64")
        assert ran.status == 2
        assert "--hidden and --head-dropout are of the head mc_dropout; add --head mc_dropout" in ran.err

    def test_show_says_whether_predictions_have_stabilised(self, run: Run, server: Scripted) -> None:
        history = [
            selector_pb2.StoppingSignals(labeled=20, head_version=1, expected_error=0.4),
            selector_pb2.StoppingSignals(labeled=40, head_version=2, since=20, agreement=0.95, expected_error=0.3),
        ]
        for length, stabilised, words in (
            (1, False, "too few labels to tell"),
            (2, False, "predictions still change (agreement 0.950 from 20 to 40 labels, expected error 30.0%)"),
            (2, True, "predictions have stabilised (agreement 0.950"),
        ):
            stopping = selector_pb2.Stopping(history=history[:length], stabilised=stabilised)
            server.script("GetProject", gives(selector_pb2.GetProjectResponse(project=a_project(), stopping=stopping)))
            assert words in run("projects", "show", "s").out

    def test_update_changes_only_what_is_said(self, run: Run, server: Scripted) -> None:
        now = a_project()
        now.logistic.inverse_regularization = 2.5
        server.script("GetProject", gives(selector_pb2.GetProjectResponse(project=now)))
        server.script("UpdateProject", gives(selector_pb2.UpdateProjectResponse(project=a_project())))
        assert run("projects", "update", "s", "--add-label", "maybe").status == 0
        assert run("projects", "update", "s", "--inverse-regularization", "2").status == 0
        assert run("projects", "update", "s", "--class-weight", "equal").status == 0
        assert run("projects", "update", "s", "--beta", "3").status == 0
        first, second, third, fourth = server.requests["UpdateProject"]
        assert fourth.parameters == selector_pb2.AcquisitionParameters(
            samples=20, posterior=selector_pb2.POSTERIOR_LAPLACE, beta=3
        )
        assert first == selector_pb2.UpdateProjectRequest(project="s", add_labels=["maybe"])
        # What is not said is what it was.
        assert (second.logistic.inverse_regularization, second.logistic.class_weight) == (2, 1)
        assert (third.logistic.inverse_regularization, third.logistic.class_weight) == (2.5, 0)

    def test_the_addresses_may_stand_before_and_behind_the_action(self, run: Run, server: Scripted) -> None:
        server.script("DeleteProject", gives(selector_pb2.DeleteProjectResponse(deleted=True)))
        wrong = ("--selector", "127.0.0.1:1")
        assert run("projects", *wrong, "delete", "s", "--selector", server.address, "--json").json == {"deleted": True}
        assert run("projects", "--selector", server.address, "--json", "delete", "s").json == {"deleted": True}


class TestSelect:
    def response(self, **more: Any) -> selector_pb2.SelectResponse:
        item = embedder_pb2.Item(item_id="a", text="one\n\ttwo", text_pair="three")
        return selector_pb2.SelectResponse(
            items=[selector_pb2.SelectedItem(item=item, score=0.69315)],
            probabilities=tensors.pack(np.array([[0.1, 0.9]], np.float32)),
            labels=["no", "yes"],
            acquisition=selector_pb2.ACQUISITION_MAX_ENTROPY,
            head_version=5,
            remaining=1234,
            **more,
        )

    def test_prints_lines_for_pipes_and_a_note_beside(self, run: Run, server: Scripted) -> None:
        server.script("Select", gives(self.response()))
        ran = run("select", "s", "-k", "3", "--annotator", "ann", "--seed", "7", "--reservation", "30")
        assert ran.out == "a\t0.6931\tone two\tthree\n"
        assert ran.err == "max_entropy (head 5); 1,234 items remain\n"
        (sent,) = server.requests["Select"]
        assert (sent.k, sent.annotator, sent.seed, sent.reservation.seconds) == (3, "ann", 7, 30)

    def test_json(self, run: Run, server: Scripted) -> None:
        server.script("Select", gives(self.response()))
        document = run("select", "s", "--json").json
        assert document["items"][0]["probabilities"] == [0.1, 0.9]
        assert (document["acquisition"], document["head_version"]) == ("max_entropy", 5)

    def test_nothing_left(self, run: Run, server: Scripted) -> None:
        server.script("Select", gives(selector_pb2.SelectResponse(acquisition=selector_pb2.ACQUISITION_RANDOM)))
        ran = run("select", "s")
        assert (ran.status, ran.out, ran.err) == (0, "", "nothing is left to select\n")


class TestLabel:
    @pytest.fixture(autouse=True)
    def records(self, server: Scripted) -> None:
        server.script(
            "RecordLabels",
            lambda request, context: selector_pb2.RecordLabelsResponse(changed=len(request.entries), labeled=9),
        )

    def test_labels_skips_and_clears(self, run: Run, server: Scripted) -> None:
        ran = run("label", "s", "r1=positive", "r=2=negative", "--skip", "r3", "--clear", "r4", "--annotator", "ann")
        assert (ran.status, ran.out) == (0, "4 recorded; project s has 9 labeled items\n")
        (sent,) = server.requests["RecordLabels"]
        assert [(entry.item_id, entry.label, entry.WhichOneof("action")) for entry in sent.entries] == [
            ("r1", "positive", "label"),
            ("r=2", "negative", "label"),
            ("r3", "", "skip"),
            ("r4", "", "clear"),
        ]
        assert sent.annotator == "ann"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("labels.tsv", "id\tlabel\tnote\na\tyes\tx\nb\t\ty\n"),
            ("labels.csv", "label,id\nyes,a\n,b\n"),
            ("labels.jsonl", '{"id": "a", "label": "yes"}\n{"id": "b", "label": null}\n'),
        ],
    )
    def test_a_file(self, run: Run, server: Scripted, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        assert run("label", "s", "--file", tmp_path / name, "--json").json["changed"] == 2
        (sent,) = server.requests["RecordLabels"]
        assert [(entry.item_id, entry.WhichOneof("action")) for entry in sent.entries] == [
            ("a", "label"),
            ("b", "skip"),
        ]

    def test_a_large_file_takes_several_calls(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        file = tmp_path / "labels.tsv"
        file.write_text("id\tlabel\n" + "".join(f"i{number}\tyes\n" for number in range(10_001)))
        assert run("label", "s", "--file", file).out == "10,001 recorded; project s has 9 labeled items\n"
        assert [len(request.entries) for request in server.requests["RecordLabels"]] == [10_000, 1]

    def test_what_was_recorded_before_an_error_is_said(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        file = tmp_path / "labels.tsv"
        file.write_text("id\tlabel\n" + "".join(f"i{number}\tyes\n" for number in range(10_001)))
        server.script(
            "RecordLabels",
            gives(selector_pb2.RecordLabelsResponse(changed=10_000)),
            refuses(grpc.StatusCode.INVALID_ARGUMENT, "item i10000 is not in pool p", "UNKNOWN_ITEMS"),
        )
        ran = run("label", "s", "--file", file)
        assert ran.status == 1
        assert ran.err == (
            "prepal: item i10000 is not in pool p\n  10,000 labels of the file were recorded before this\n"
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("id\ttext\na\tb\n", "line 1, column label: is not in the header"),
            ("id\tlabel\na\tyes\na\tno\n", 'line 3, column id: "a" was labeled in line 2 already'),
            ("id\tlabel\n\tyes\n", "line 2, column id: is empty"),
        ],
    )
    def test_a_malformed_file_is_told_with_its_place(
        self, run: Run, server: Scripted, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / "labels.tsv").write_text(text)
        ran = run("label", "s", "--file", tmp_path / "labels.tsv")
        assert ran.status == 1
        assert message in ran.err
        assert server.calls["RecordLabels"] == 0

    @pytest.mark.parametrize("arguments", [[], ["a=b", "--interactive"], ["--file", "x.tsv", "--skip", "a"]])
    def test_one_source_of_labels_is_wanted(self, run: Run, arguments: list[str]) -> None:
        ran = run("label", "s", *arguments)
        assert ran.status == 2
        assert "takes ID=LABEL, --skip and --clear, or --file, or --interactive" in ran.err

    @pytest.mark.parametrize("word", ["a", "=b", "a="])
    def test_a_label_of_another_shape_is_named(self, run: Run, word: str) -> None:
        ran = run("label", "s", word)
        assert (ran.status, ran.err) == (2, f"prepal: a label must be ID=LABEL, got {word!r}\n")


class TestExport:
    @pytest.fixture(autouse=True)
    def labels(self, server: Scripted) -> None:
        stamp = Timestamp()
        stamp.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
        recorded = [
            selector_pb2.Label(item_id="a", label="yes", annotator="ann", time=stamp),
            selector_pb2.Label(item_id="b", skipped=True, time=stamp),
            selector_pb2.Label(item_id="c", label="no", time=stamp),
        ]
        single = a_pool()
        single.backbone.pair_mode = embedder_pb2.PAIR_MODE_UNSPECIFIED
        stored = {"a": 'one,\n"two"\tthree', "b": "four", "c": "five"}

        def get_items(request: Any, context: Any) -> embedder_pb2.GetItemsResponse:
            items = [embedder_pb2.Item(item_id=name, text=stored[name]) for name in request.item_ids]
            return embedder_pb2.GetItemsResponse(items=items)

        server.script("GetProject", gives(selector_pb2.GetProjectResponse(project=a_project())))
        server.script("GetPool", gives(embedder_pb2.GetPoolResponse(pool=single)))
        server.script("ListLabels", gives(selector_pb2.ListLabelsResponse(labels=recorded)))
        server.script("GetItems", get_items)

    def test_tsv_keeps_to_one_line_an_item(self, run: Run) -> None:
        ran = run("export", "s")
        assert ran.out == (
            "id\ttext\tlabel\tannotator\ttime\n"
            'a\tone, "two" three\tyes\tann\t2026-01-02T00:00:00+00:00\n'
            "c\tfive\tno\t\t2026-01-02T00:00:00+00:00\n"
        )
        assert ran.err == "2 labels written\n"

    def test_csv_and_jsonl_keep_the_text_as_it_is(self, run: Run) -> None:
        (first, *_) = csv.DictReader(io.StringIO(run("export", "s", "--format", "csv").out))
        assert first["text"] == 'one,\n"two"\tthree'
        (line, *_) = run("export", "s", "--format", "jsonl").out.splitlines()
        assert json.loads(line)["text"] == 'one,\n"two"\tthree'

    def test_skipped_items_are_exported_when_asked_for(self, run: Run) -> None:
        rows = [json.loads(line) for line in run("export", "s", "--format", "jsonl", "--skipped").out.splitlines()]
        assert [(row["id"], row["label"]) for row in rows] == [("a", "yes"), ("b", None), ("c", "no")]

    def test_the_name_of_the_file_says_the_format(self, run: Run, tmp_path: Path) -> None:
        assert run("export", "s", "--out", tmp_path / "labels.jsonl").status == 0
        assert json.loads((tmp_path / "labels.jsonl").read_text().splitlines()[1])["id"] == "c"
        assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]

    def test_what_is_exported_can_be_recorded_again(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        server.script("RecordLabels", gives(selector_pb2.RecordLabelsResponse(changed=3)))
        for name in ("labels.tsv", "labels.csv", "labels.jsonl"):
            assert run("export", "s", "--skipped", "--out", tmp_path / name).status == 0
            assert run("label", "s", "--file", tmp_path / name).status == 0
        assert len({tuple(map(str, request.entries)) for request in server.requests["RecordLabels"]}) == 1

    def test_a_failure_leaves_no_file(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        server.script("GetItems", refuses(NOT_FOUND, "pool p does not exist", "POOL_NOT_FOUND"))
        assert run("export", "s", "--out", tmp_path / "labels.tsv").status == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_name_that_says_no_format_is_refused(self, run: Run, tmp_path: Path) -> None:
        ran = run("export", "s", "--out", tmp_path / "labels.txt")
        assert ran.status == 2
        assert "--format must be tsv, csv or jsonl" in ran.err


class TestPredict:
    @pytest.fixture(autouse=True)
    def predictions(self, server: Scripted) -> None:
        def predict(request: Any, context: Any) -> Iterator[Any]:
            count = len(request.texts.inputs) or len(request.item_ids.item_ids) or 1
            yield selector_pb2.PredictResponse(
                item_ids=list(request.item_ids.item_ids) or (["a"] if request.pool else []),
                probabilities=tensors.pack(np.array([[0.25, 0.75]] * count, np.float32)),
                labels=["no", "yes"],
                head_version=3,
            )

        server.script("Predict", predict)

    def test_texts_are_numbered(self, run: Run) -> None:
        assert run("predict", "s", "what a film", "what a bore").out == (
            "id\tlabel\tprobability\n1\tyes\t0.7500\n2\tyes\t0.7500\n"
        )

    def test_the_texts_of_a_file_keep_their_ids(self, run: Run, server: Scripted, nli: Path) -> None:
        assert run("predict", "s", "--file", nli).out.endswith("\na\tyes\t0.7500\n")
        assert server.requests["Predict"][0].texts.inputs[0].text_pair == "two"

    def test_items_and_pools(self, run: Run) -> None:
        assert run("predict", "s", "--item", "x", "--item", "y").out.splitlines()[2] == "y\tyes\t0.7500"
        assert run("predict", "s", "--pool", "p", "--all").out == (
            "id\tlabel\tprobability\tno\tyes\na\tyes\t0.7500\t0.2500\t0.7500\n"
        )

    def test_json(self, run: Run) -> None:
        assert run("predict", "s", "x", "--json").json == {
            "labels": ["no", "yes"],
            "head_version": 3,
            "predictions": [{"id": "1", "label": "yes", "probabilities": [0.25, 0.75]}],
        }

    @pytest.mark.parametrize("arguments", [[], ["text", "--pool", "p"]])
    def test_one_source_is_wanted(self, run: Run, arguments: list[str]) -> None:
        assert run("predict", "s", *arguments).status == 2


class TestTrain:
    METRICS = trainer_pb2.JobMetrics(accuracy=0.844, macro_f1=0.843, loss=0.4, items=872)

    @pytest.fixture(autouse=True)
    def job(self, server: Scripted) -> None:
        server.script("StartJob", gives(trainer_pb2.StartJobResponse(job=a_job("QUEUED"))))
        succeeded = a_job("SUCCEEDED", step=9, metrics=self.METRICS, training_seconds=12.34)
        server.script("WatchJob", gives(watched(a_job("QUEUED"), a_job(step=4), succeeded)))
        server.script("DownloadCheckpoint", gives(WHOLE))

    def test_waits_evaluates_and_downloads(self, run: Run, server: Scripted, reviews: Path, tmp_path: Path) -> None:
        ran = run("train", "s", "--evaluation", reviews, "--epochs", "5", "--out", tmp_path / "model", "--progress")
        assert ran.status == 0
        assert ran.out == (
            "job j1 succeeded in 12.3 s of training: accuracy 0.8440, macro F1 0.8430 on 872 items\n"
            f"checkpoint: {tmp_path / 'model'}\n"
        )
        assert "job j1: fine-tuning minilm on 10 labels" in ran.err
        assert "fine-tuning: 100%" in ran.err
        assert (tmp_path / "model" / "config.json").read_bytes() == b"{}"
        (sent,) = server.requests["StartJob"]
        assert sent.recipe == trainer_pb2.Recipe(epochs=5)
        assert [(entry.text, entry.label) for entry in sent.evaluation] == [
            ("a fine film", "positive"),
            ("a dull one", "negative"),
        ]

    def test_no_bar_where_stderr_is_no_terminal(self, run: Run) -> None:
        assert run("train", "s").err == "job j1: fine-tuning minilm on 10 labels\n"

    def test_a_job_that_fails_is_status_1(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        error = trainer_pb2.JobError(reason="DIVERGED", message="the loss is not finite; lower the learning rate")
        server.script("WatchJob", gives(watched(a_job("FAILED", error=error))))
        ran = run("train", "s", "--out", tmp_path / "model")
        assert (ran.status, ran.out) == (
            1,
            "job j1 failed (DIVERGED): the loss is not finite; lower the learning rate\n",
        )
        assert not (tmp_path / "model").exists()

    def test_detached_it_prints_the_id(self, run: Run, server: Scripted) -> None:
        assert run("train", "s", "--detach").out == "j1\n"
        assert server.calls["WatchJob"] == 0

    def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(
        self, run: Run, server: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> Iterator[Any]:
            raise KeyboardInterrupt

        monkeypatch.setattr("prepal.Client.watch_job", interrupted)
        ran = run("train", "s")
        assert ran.status == 130
        assert "job j1 goes on; come back with `prepal jobs watch j1`, stop it with `prepal jobs cancel j1`" in ran.err
        assert server.calls["CancelJob"] == 0

    def test_detach_and_out_exclude_each_other(self, run: Run, server: Scripted) -> None:
        assert run("train", "s", "--detach", "--out", "x").status == 2
        assert server.calls["StartJob"] == 0


class TestJobs:
    def test_a_table_and_json(self, run: Run, server: Scripted) -> None:
        jobs = [a_job("SUCCEEDED", metrics=TestTrain.METRICS), a_job("RUNNING")]
        server.script("ListJobs", gives(trainer_pb2.ListJobsResponse(jobs=jobs)))
        _, first, second = run("jobs", "--project", "s").out.splitlines()
        assert first.split()[:5] == ["j1", "s", "succeeded", "10", "0.844"]
        assert second.split()[:5] == ["j1", "s", "running", "10", "-"]
        assert server.requests["ListJobs"][0].project == "s"
        assert run("jobs", "--json").json[0]["metrics"]["items"] == 872

    def test_show_watch_cancel_download_and_delete(self, run: Run, server: Scripted, tmp_path: Path) -> None:
        server.script("GetJob", gives(trainer_pb2.GetJobResponse(job=a_job("RUNNING", step=3))))
        server.script("WatchJob", gives(watched(a_job("CANCELLED"))))
        server.script("CancelJob", gives(trainer_pb2.CancelJobResponse(job=a_job("RUNNING", step=3))))
        server.script("DownloadCheckpoint", gives(WHOLE))
        server.script("DeleteJob", gives(trainer_pb2.DeleteJobResponse(deleted=True)))
        assert "outcome   job j1 is at step 3 of 9\n" in run("jobs", "show", "j1").out
        watched_ = run("jobs", "watch", "j1")
        assert (watched_.status, watched_.out) == (1, "job j1 was cancelled\n")
        assert run("jobs", "cancel", "j1", "--json").json["state"] == "running"
        assert run("jobs", "download", "j1", tmp_path / "m").out == f"checkpoint: {tmp_path / 'm'}\n"
        assert run("jobs", "delete", "j1").out == "job j1 is deleted\n"

    @pytest.mark.parametrize("arguments", [["show"], ["list", "j"], ["download", "j"], ["show", "j", "folder"]])
    def test_what_an_action_takes_is_said(self, run: Run, arguments: list[str]) -> None:
        ran = run("jobs", *arguments)
        assert ran.status == 2
        assert "takes" in ran.err


def test_status_says_which_service_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("EMBEDDER", "SELECTOR", "TRAINER"):
        monkeypatch.setenv(f"PREPAL_{service}", "127.0.0.1:1")
    ran = run("status", "--json")
    assert ran.status == 1
    assert {state["service"] for state in ran.json} == {"embedder", "selector", "trainer"}
    assert run("status").out.count("is `prepal up` running?") == 3
