"""A job's progress, as a bar and as a sentence."""

from __future__ import annotations

import sys

from prepal._sync.client import Client
from prepal.errors import Internal
from prepal.progress import Bar
from prepal.values.enums import JobState
from prepal.values.job import Job


def watch(client: Client, job_id: str, *, progress: bool | None) -> Job:
    """Shows a job's progress until it has ended, and returns it. Ctrl-C leaves it running and says how to go on."""
    newest: Job | None = None
    try:
        with Bar(progress, "waiting for a worker", "steps") as bar:
            for newest in client.watch_job(job_id):
                if newest.state is JobState.RUNNING:
                    bar.named("fine-tuning")
                loss = newest.progress.loss
                note = "" if loss is None else f"loss {loss:.3f}"
                bar.to(newest.progress.step, total=newest.progress.total_steps or None, note=note)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\njob {job_id} goes on; come back with `prepal jobs watch {job_id}`, "
            f"stop it with `prepal jobs cancel {job_id}`\n"
        )
        raise
    if newest is None:
        raise Internal(f"the trainer told nothing about job {job_id}")
    return newest


def outcome(job: Job) -> str:
    """Returns how a job is, or how it ended, as a sentence."""
    match job.state:
        case JobState.SUCCEEDED:
            reached = ""
            if job.metrics is not None:
                accuracy, macro_f1 = job.metrics.accuracy, job.metrics.macro_f1
                reached = f": accuracy {accuracy:.4f}, macro F1 {macro_f1:.4f} on {job.metrics.items:,} items"
            return f"job {job.id} succeeded in {job.training_seconds:.1f} s of training{reached}"
        case JobState.FAILED:
            why = "" if job.error is None else f" ({job.error.reason}): {job.error.message}"
            return f"job {job.id} failed{why}"
        case JobState.CANCELLED:
            return f"job {job.id} was cancelled"
        case JobState.QUEUED:
            return f"job {job.id} waits for a worker"
        case JobState.RUNNING:
            return f"job {job.id} is at step {job.progress.step:,} of {job.progress.total_steps:,}"
