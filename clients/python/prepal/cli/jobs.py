"""`prepal jobs`: the fine-tuning jobs there are."""

from __future__ import annotations

import argparse
from pathlib import Path

from prepal._sync.client import Client
from prepal.cli.connecting import add_addresses, add_progress, client_of
from prepal.cli.output import add_json, print_fields, print_json, print_table
from prepal.cli.watching import outcome, watch
from prepal.values.enums import JobState
from prepal.values.job import Job

HELP = "list fine-tuning jobs; show, watch, cancel, download or delete one"

DESCRIPTION = """\
Lists the fine-tuning jobs, newest first, or does something with one of them.

example:
  prepal jobs
  prepal jobs --project sentiment
  prepal jobs watch JOB
  prepal jobs download JOB ./model
"""

_ACTIONS = ["list", "show", "watch", "cancel", "download", "delete"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list", help="(list)")
    parser.add_argument("job", nargs="?", help="the job's id, for all but list")
    parser.add_argument("folder", nargs="?", type=Path, help="where to, for download")
    parser.add_argument("--project", default="", metavar="NAME", help="list only jobs of this project")
    add_progress(parser)
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if (args.action == "list") != (args.job is None):
        raise ValueError(f"prepal jobs {args.action} takes {'no job' if args.job else 'the id of a job'}")
    if (args.action == "download") != (args.folder is not None):
        raise ValueError(f"prepal jobs {args.action} takes {'no folder' if args.folder else 'a folder to download to'}")
    with client_of(args) as client:
        if args.action == "list":
            _list(client, args)
        elif args.action == "delete":
            deleted = client.delete_job(args.job)
            print(f"job {args.job} is deleted" if deleted else f"there was no job {args.job}")
        elif args.action == "download":
            client.download_checkpoint(args.job, args.folder, progress=args.progress)
            print(f"checkpoint: {args.folder}")
        else:
            return _one(client, args)
    return 0


def _one(client: Client, args: argparse.Namespace) -> int:
    """Shows, watches or cancels a job; the exit status is 1 for one that failed while it was watched."""
    match args.action:
        case "show":
            job = client.get_job(args.job)
        case "watch":
            job = watch(client, args.job, progress=args.progress)
        case _:
            job = client.cancel_job(args.job)
    if args.json:
        print_json(job)
    elif args.action == "show":
        print_fields(_fields(job))
    else:
        print(outcome(job))
    return 1 if args.action == "watch" and job.state is not JobState.SUCCEEDED else 0


def _list(client: Client, args: argparse.Namespace) -> None:
    jobs = list(client.jobs(args.project))
    if args.json:
        print_json(jobs)
        return
    print_table(
        ["job", "project", "state", "labels", "accuracy", "created"],
        (
            (
                job.id,
                job.project,
                job.state,
                job.items,
                None if job.metrics is None else job.metrics.accuracy,
                job.created_at,
            )
            for job in jobs
        ),
        empty="there are no jobs; start one with: prepal train PROJECT",
    )


def _fields(job: Job) -> dict[str, object]:
    recipe = job.recipe
    return {
        "job": job.id,
        "outcome": outcome(job),
        "project": job.project,
        "backbone": job.backbone,
        "labels": f"{job.items:,} ({', '.join(job.labels)})",
        "recipe": f"{recipe.epochs} epochs, batch size {recipe.batch_size}, learning rate {recipe.learning_rate:g}, "
        f"weight decay {recipe.weight_decay:g}, warm-up {recipe.warmup_ratio:g}, {recipe.max_length} tokens, "
        f"seed {recipe.seed}",
        "attempts": job.attempts,
        "created": job.created_at,
        "started": job.started_at,
        "ended": job.ended_at,
    }
