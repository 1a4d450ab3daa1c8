"""Fine-tuning a tiny transformer: learning, determinism, going on after an interruption, the folder that comes out."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from services.trainer import resume
from services.trainer.errors import Diverged, ModelNotLoadable, Stopped
from services.trainer.fine_tuning.encoding import Encoded, encode
from services.trainer.fine_tuning.model import Classifier, linear_head, new_classifier, seeded
from services.trainer.fine_tuning.prediction import predict
from services.trainer.fine_tuning.saving import save
from services.trainer.fine_tuning.training import train
from services.trainer.metrics import evaluate
from services.trainer.recipe import Recipe
from services.trainer.resume import Resume
from services.trainer.text import Text
from tests.trainer.examples import LABELS, sentences

RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=2e-3, max_length=32, seed=5)


class Watcher:
    """Notes what training tells; stops it at a step when asked to."""

    def __init__(self, stop_at: int | None = None, save_first: bool = False) -> None:
        self.steps: list[int] = []
        self.epochs: list[float] = []
        self.total = 0
        self.losses: list[float | None] = []
        self.kept: list[Path] = []
        self.save_first = save_first
        self._stop_at = stop_at

    @property
    def stop(self) -> bool:
        return self._stop_at is not None and bool(self.steps) and self.steps[-1] >= self._stop_at

    def stepped(self, *, step: int, total_steps: int, epoch: float, loss: float | None) -> None:
        self.steps.append(step)
        self.epochs.append(epoch)
        self.total = total_steps
        self.losses.append(loss)

    def saved(self, checkpoint: Path, *, step: int, seconds: float) -> None:
        resume.keep(checkpoint, step=step, seconds=seconds)
        self.kept.append(checkpoint)


def nothing() -> None:
    return


def run(
    backbone: Path,
    folder: Path,
    *,
    recipe: Recipe = RECIPE,
    count: int = 44,
    watcher: Watcher | None = None,
    checkpoint_seconds: float = math.inf,
    start: Resume | None = None,
) -> Classifier:
    seed = seeded(recipe.seed)
    classifier = new_classifier(backbone, LABELS)
    learned = sentences(count)
    encoded = encode(classifier.tokenizer, [Text(text) for text, _ in learned], recipe.max_length, nothing)
    train(
        classifier,
        encoded,
        [LABELS.index(label) for _, label in learned],
        recipe=recipe,
        seed=seed,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
        resume=start,
        watch=watcher or Watcher(),
    )
    return classifier


def encoded_test(classifier: Classifier, count: int = 40) -> tuple[Encoded, np.ndarray]:
    asked = sentences(count, seed=1)
    encoded = encode(classifier.tokenizer, [Text(text) for text, _ in asked], RECIPE.max_length, nothing)
    return encoded, np.array([LABELS.index(label) for _, label in asked])


def same(one: Classifier, other: Classifier) -> bool:
    pairs = zip(one.model.state_dict().items(), other.model.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_a_tiny_model_learns_and_tells_of_each_step(tiny_bert: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    classifier = run(tiny_bert, tmp_path, count=160, watcher=watcher)
    encoded, truths = encoded_test(classifier)
    assert evaluate(predict(classifier, encoded, nothing), truths).accuracy >= 0.95
    assert watcher.steps == list(range(81))
    assert watcher.total == 80
    assert watcher.epochs == pytest.approx([step / 20 for step in range(81)])
    assert watcher.losses[0] is None
    assert all(loss is not None and math.isfinite(loss) for loss in watcher.losses[1:])
    assert not list(tmp_path.iterdir()), "training leaves no file that nobody asked for"


def test_equal_seeds_give_equal_weights_and_others_do_not(tiny_bert: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=1e-3, max_length=32, seed=2**64 - 1)
    first = run(tiny_bert, tmp_path, recipe=recipe)
    assert same(first, run(tiny_bert, tmp_path, recipe=recipe))
    assert not same(first, run(tiny_bert, tmp_path, recipe=Recipe(**{**recipe.to_json(), "seed": 1})))


@pytest.mark.parametrize("stop_at", [1, 5, 6, 7, 13, 23])
def test_an_interrupted_job_goes_on_and_ends_with_the_same_weights(
    tiny_bert: Path, tmp_path: Path, stop_at: int
) -> None:
    """44 items in batches of 8 make epochs of 6 steps: before, at and after the ends of epochs."""
    whole = run(tiny_bert, tmp_path / "whole")
    watcher = Watcher(stop_at=stop_at, save_first=True)
    with pytest.raises(Stopped):
        run(tiny_bert, tmp_path / "job" / "attempt-1", watcher=watcher)
    start = resume.newest(tmp_path / "job")
    assert start is not None
    assert start.step == stop_at
    again = Watcher()
    resumed = run(tiny_bert, tmp_path / "job" / "attempt-2", watcher=again, start=start)
    assert again.steps == list(range(stop_at, 25))
    assert same(whole, resumed)


def test_checkpoints_are_written_in_time_and_only_the_newest_is_kept(tiny_bert: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    run(tiny_bert, tmp_path / "attempt-1", watcher=watcher, checkpoint_seconds=0.0)
    assert [path.name for path in watcher.kept] == [f"checkpoint-{step}" for step in range(1, 24)]
    assert [path for path in watcher.kept if path.exists()] == [watcher.kept[-1]]


def test_a_stop_without_a_wish_to_save_leaves_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tiny_bert, tmp_path, watcher=Watcher(stop_at=3))
    assert not list(tmp_path.iterdir())


def test_a_learning_rate_that_is_too_high_is_told_as_divergence(tiny_bert: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=100, batch_size=8, learning_rate=1.0, warmup_ratio=0.0, max_length=32)
    seed = seeded(0)
    classifier = new_classifier(tiny_bert, LABELS)
    with torch.no_grad():
        classifier.model.classifier.weight.fill_(math.inf)
    encoded = encode(classifier.tokenizer, [Text(text) for text, _ in sentences(16)], 32, nothing)
    with pytest.raises(
        Diverged, match=r"training diverged: the loss is not finite at step 1; lower recipe.learning_rate"
    ):
        train(
            classifier,
            encoded,
            [0, 1] * 8,
            recipe=recipe,
            seed=seed,
            folder=tmp_path,
            checkpoint_seconds=math.inf,
            resume=None,
            watch=Watcher(),
        )


def test_the_folder_loads_in_plain_transformers_and_predicts_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    classifier = run(tiny_bert, tmp_path / "work")
    encoded, _ = encoded_test(classifier)
    logits = predict(classifier, encoded, nothing)
    save(classifier, tmp_path / "out", max_length=RECIPE.max_length)

    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert model.dtype == torch.float32
    assert tokenizer.model_max_length == RECIPE.max_length
    texts = [text for text, _ in sentences(40, seed=1)]
    with torch.no_grad():
        plain = model(**tokenizer(texts, truncation=True, padding=True, return_tensors="pt")).logits.numpy()
    np.testing.assert_allclose(plain, logits, atol=1e-5)
    head = load_file(tmp_path / "out" / "head.safetensors")
    assert torch.equal(head["weight"], model.classifier.weight)
    assert torch.equal(head["bias"], model.classifier.bias)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))], "no pickles"


def test_a_checkpoint_is_a_backbone_whose_old_head_is_forgotten(tiny_bert: Path, tmp_path: Path) -> None:
    classifier = run(tiny_bert, tmp_path / "work")
    save(classifier, tmp_path / "out", max_length=32)
    seeded(7)
    again = new_classifier(tmp_path / "out", LABELS)
    assert torch.equal(
        again.model.bert.embeddings.word_embeddings.weight, classifier.model.bert.embeddings.word_embeddings.weight
    )
    assert torch.equal(again.model.bert.pooler.dense.weight, classifier.model.bert.pooler.dense.weight)
    assert not torch.equal(again.model.classifier.weight, classifier.model.classifier.weight)
    assert new_classifier(tmp_path / "out", ["a", "b", "c"]).model.config.num_labels == 3


FAMILIES: dict[str, Callable[[int], torch.nn.Module]] = {
    "roberta": lambda words: RobertaModel(
        RobertaConfig(
            vocab_size=words, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=66, pad_token_id=0,
        ),
        add_pooling_layer=False,
    ),
    "distilbert": lambda words: DistilBertModel(
        DistilBertConfig(vocab_size=words, dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=64)
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_other_encoders_are_fine_tuned_too(tiny_bert: Path, tmp_path: Path, family: str) -> None:
    backbone = tmp_path / "backbone"
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    torch.manual_seed(0)
    FAMILIES[family](len(tokenizer)).save_pretrained(backbone)
    shutil.copy(tiny_bert / "tokenizer.json", backbone)
    shutil.copy(tiny_bert / "tokenizer_config.json", backbone)
    encoder = AutoModel.from_pretrained(backbone)
    seeded(0)
    fresh = new_classifier(backbone, LABELS).model.base_model.state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in encoder.state_dict().items() if name in fresh)
    assert sum(name in fresh for name in encoder.state_dict()) >= 10
    recipe = Recipe(epochs=1, batch_size=8, max_length=32)
    classifier = run(backbone, tmp_path / "work", recipe=recipe, count=16)
    save(classifier, tmp_path / "out", max_length=32)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").config.num_labels == 2
    assert linear_head(classifier.model, 2)["weight"].shape == (2, 16)


def test_a_backbone_in_half_precision_is_fine_tuned_in_float32(tiny_bert: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(tiny_bert, dtype=torch.bfloat16).save_pretrained(tmp_path)
    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    shutil.copy(tiny_bert / "tokenizer_config.json", tmp_path)
    assert {weight.dtype for weight in new_classifier(tmp_path, LABELS).model.parameters()} == {torch.float32}


def test_a_folder_without_its_weights_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "broken")
    config = json.loads((tmp_path / "broken" / "config.json").read_text())
    (tmp_path / "broken" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelNotLoadable, match=r"lacks 16 of its weights, such as encoder\.layer\.2\..*save the whole"):
        new_classifier(tmp_path / "broken", LABELS)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelNotLoadable, match="cannot be fine-tuned: "):
        new_classifier(tmp_path, LABELS)


def test_pairs_are_one_sequence_of_two_kinds(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    texts = [Text("good film"), Text("good film", "bad plot"), Text("a " * 40, "the " * 10)]
    rows = encode(tokenizer, texts, 16, nothing).rows
    assert rows[0]["token_type_ids"] == [0, 0, 0, 0]
    assert rows[1]["input_ids"] == tokenizer("good film", "bad plot")["input_ids"]
    assert rows[1]["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert len(rows[2]["input_ids"]) == 16
    # The longer text of a pair is cut first.
    assert sum(rows[2]["token_type_ids"]) >= 7


def test_the_smallest_max_length_leaves_a_token_of_text(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    rows = encode(tokenizer, [Text("good film"), Text("good", "bad")], 2, nothing).rows
    assert [len(row["input_ids"]) for row in rows] == [3, 4]


def test_a_long_list_is_given_up_when_asked(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        encode(tokenizer, [Text("good film")], 16, stop)
    classifier = new_classifier(tiny_bert, LABELS)
    with pytest.raises(Stopped):
        predict(classifier, encode(tokenizer, [Text("good film")], 16, nothing), stop)


def test_predictions_come_in_the_order_asked(tiny_bert: Path) -> None:
    classifier = new_classifier(tiny_bert, LABELS)
    texts = [Text("good " * (1 + number % 17)) for number in range(60)]
    together = predict(classifier, encode(classifier.tokenizer, texts, 32, nothing), nothing)
    alone = [predict(classifier, encode(classifier.tokenizer, [text], 32, nothing), nothing)[0] for text in texts]
    np.testing.assert_allclose(together, np.array(alone), atol=1e-5)
