"""What the suite is for, from texts to a fine-tuned model, with every process and the real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prepal
import pytest
from prepal.demo.texts import demo_texts
from prepal.simulation import Row, SimulationOptions, simulate

from tests.up import Up


@pytest.fixture(scope="module")
def texts() -> tuple[list[Row], list[Row]]:
    """Real texts with real labels, two topics of the demo's."""
    found = demo_texts()
    topics = sorted({row.label for row in found.train if row.label})[:2]
    train, test = ([row for row in part if row.label in topics] for part in (found.train, found.test))
    return train[:600], test[:200]


def test_texts_are_embedded_selected_labeled_learned_and_fine_tuned(
    suite: Up, texts: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    train, test = texts
    truth = {row.id: row.label or "" for row in train}
    labels = sorted(set(truth.values()))
    with suite.client() as client:
        pool = client.create_pool("docs", backbone="minilm")
        assert pool.dimension == 384
        added = client.add_items("docs", [prepal.Item(row.id, row.text) for row in train])
        assert (added.accepted, added.rejected) == (len(train), ())
        assert client.add_items("docs", [prepal.Item(row.id, row.text) for row in train]).already_there == len(train)

        client.create_project("topic", pool="docs", labels=labels)
        selection = client.select("topic", k=20, seed=1)
        assert (selection.cold_start, selection.head_version) == (True, 0)
        while len(selection.items) and client.get_project("topic").labeled < 160:
            client.record_labels("topic", {item.id: truth[item.id] for item in selection.items})
            selection = client.select("topic", k=20)
        assert (selection.cold_start, str(selection.acquisition)) == (False, "max_entropy")
        assert np.allclose(selection.probabilities.sum(axis=1), 1, atol=1e-5)
        assert not {item.id for item in selection.items} & {label.item_id for label in client.list_labels("topic")}

        predicted = client.predict("topic", texts=[row.text for row in test])
        right = np.mean([best == row.label for best, row in zip(predicted.best, test, strict=True)])
        assert right >= 0.75

        nearest = client.search_items("docs", item=train[0].id, k=3)
        assert len(nearest) == 3
        assert train[0].id not in {found.item.id for found in nearest}

        evaluation = [prepal.LabeledText(row.text, row.label or "") for row in test[:50]]
        job = client.start_job("topic", epochs=1, max_length=32, evaluation=evaluation)
        seen = list(client.watch_job(job.id))
        assert str(seen[-1].state) == "succeeded", seen[-1]
        folder = client.download_checkpoint(job.id, tmp_path / "model")
    assert seen[-1].metrics is not None
    assert seen[-1].metrics.items == 50
    assert accuracy_in_plain_transformers(folder, test[:50]) == pytest.approx(seen[-1].metrics.accuracy)


def accuracy_in_plain_transformers(folder: Path, rows: list[Row]) -> float:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer([row.text for row in rows], truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.inference_mode():
        best = model(**batch).logits.argmax(dim=1).tolist()
    right = [model.config.id2label[number] == row.label for number, row in zip(best, rows, strict=True)]
    return float(np.mean(right))


def test_active_learning_is_not_worse_than_random_labels(suite: Up, texts: tuple[list[Row], list[Row]]) -> None:
    options = SimulationOptions(acquisitions=["max_entropy", "random"], start=20, step=20, rounds=7, seeds=3)
    with suite.client() as client:
        curves = simulate(client, *texts, options)
    chosen, random = (curves.curve(name).mean("accuracy") for name in ("max_entropy", "random"))
    assert chosen[0] == random[0]
    assert chosen[-1] >= random[-1] - 0.01
    assert chosen[-1] > chosen[0]
