"""The training loop, which is transformers' own: `Trainer` with our batches, our checkpoints and our stop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from services.trainer.batches import batches
from services.trainer.errors import Diverged, Stopped
from services.trainer.fine_tuning.encoding import Encoded
from services.trainer.fine_tuning.model import Classifier
from services.trainer.recipe import Recipe
from services.trainer.resume import Resume

LOGGER = logging.getLogger(__name__)
# Writing a checkpoint takes at most this share of the time.
_SAVING_SHARE = 0.05


class Watch(Protocol):
    """Who follows the training. All calls come between two steps, from the training thread."""

    @property
    def stop(self) -> bool:
        """Whether training is to stop now."""

    @property
    def save_first(self) -> bool:
        """Whether a checkpoint is to be written before it stops."""

    def stepped(self, *, step: int, total_steps: int, epoch: float, loss: float | None) -> None:
        """Takes note of a step done."""

    def saved(self, checkpoint: Path, *, step: int, seconds: float) -> None:
        """Makes a checkpoint that was just written the one to go on from; `seconds` of training are in it."""


def train(
    classifier: Classifier,
    encoded: Encoded,
    targets: Sequence[int],
    *,
    recipe: Recipe,
    seed: int,
    folder: Path,
    checkpoint_seconds: float,
    resume: Resume | None,
    watch: Watch,
) -> float:
    """Fine-tunes the classifier in place and returns the seconds of training, those before an interruption included.

    AdamW over all weights, linear warm-up and decay, gradients clipped to norm 1, dropout as the model's configuration
    says. float32 on a CPU, bfloat16 autocast over float32 weights on a GPU that has it. Equal arguments give equal
    weights on one machine, interrupted or not.

    Args:
        classifier: a fresh one; with `resume`, its weights are replaced by the checkpoint's.
        encoded: the texts (N,).
        targets: their columns (N,).
        recipe: the hyper-parameters.
        seed: what `seeded` returned.
        folder: where checkpoints go; made when it is not there.
        checkpoint_seconds: a checkpoint is written when so much time has passed since the last, or more where writing
            would take too large a share of it; 0 writes one after every step.
        resume: where to go on; None starts afresh.
        watch: who follows.

    Raises:
        Stopped: the watch asked for it.
        Diverged: the loss or a weight is not finite.
    """
    steps = math.ceil(len(targets) / recipe.batch_size) * recipe.epochs
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=math.ceil(recipe.warmup_ratio * steps),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False),
        seed=seed,
        data_seed=seed,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    follower = _Follower(watch, checkpoint_seconds, resume.seconds if resume else 0.0)
    examples = _Examples(encoded, targets)
    trainer = _Trainer(
        model=classifier.model,
        args=arguments,
        train_dataset=examples,
        processing_class=classifier.tokenizer,
        data_collator=DataCollatorWithPadding(classifier.tokenizer),
        callbacks=[follower],
    )
    trainer.remove_callback(PrinterCallback)
    lengths = encoded.lengths
    trainer.follow(
        follower, examples, lambda epoch: batches(lengths, batch_size=recipe.batch_size, seed=recipe.seed, epoch=epoch)
    )
    trainer.train(resume_from_checkpoint=str(resume.checkpoint) if resume else None)
    if watch.stop:
        raise Stopped
    for name, weight in classifier.model.named_parameters():
        if not torch.isfinite(weight).all():
            raise Diverged(f"the weight {name}", steps)
    return follower.seconds


class _Examples(Dataset[dict[str, Any]]):
    """Texts with their targets, by row."""

    def __init__(self, encoded: Encoded, targets: Sequence[int]) -> None:
        self._rows = encoded.rows
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {**self._rows[row], "labels": self._targets[row]}


class _Batches(Sampler[list[int]]):
    """The batches of the epoch that `Trainer` is at."""

    def __init__(self, plan: Callable[[int], list[Any]]) -> None:
        self._plan = plan
        self._epoch = 0
        self._length = len(plan(0))

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self._plan(self._epoch):
            yield rows.tolist()


class _Trainer(Trainer):
    """`Trainer` with the batches of our plan, and with an eye on the loss."""

    def follow(self, follower: _Follower, examples: _Examples, plan: Callable[[int], list[Any]]) -> None:
        self._follower = follower
        self._examples = examples
        self._plan = plan

    def get_train_dataloader(self) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(
            self._examples, batch_sampler=_Batches(self._plan), collate_fn=self.data_collator
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*arguments, **named)
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged("the loss", self.state.global_step + 1)
        self._follower.loss = value
        return loss


class _Follower(TrainerCallback):
    """Reports steps, asks for checkpoints in time, and stops when asked to."""

    def __init__(self, watch: Watch, checkpoint_seconds: float, seconds_before: float) -> None:
        self.loss: float | None = None
        self._watch = watch
        self._every = checkpoint_seconds
        self._before = seconds_before
        self._begun = self._last_save = self._stepped = time.monotonic()
        self._saving = self._saving_in_all = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training until the newest step, without the writing of checkpoints."""
        return self._before + self._stepped - self._begun - self._saving_in_all

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._begun = self._last_save = self._stepped = time.monotonic()
        self._report(state)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self._report(state)
        self._stepped = time.monotonic()
        if self._watch.stop:
            control.should_training_stop = True
            control.should_save = self._watch.save_first
            return
        due = max(self._every, self._saving / _SAVING_SHARE) if self._every else 0.0
        control.should_save = self._stepped - self._last_save >= due and state.global_step < state.max_steps

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:  # noqa: ARG002
        checkpoint = Path(args.output_dir or "") / f"checkpoint-{state.global_step}"
        self._watch.saved(checkpoint, step=state.global_step, seconds=self.seconds)
        self._last_save = time.monotonic()
        self._saving = self._last_save - self._stepped
        self._saving_in_all += self._saving

    def _report(self, state: TrainerState) -> None:
        self._watch.stepped(
            step=state.global_step, total_steps=state.max_steps, epoch=float(state.epoch or 0.0), loss=self.loss
        )
