"""`prepal train`: fine-tuning a transformer on what a project has labeled."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prepal.cli.connecting import add_addresses, add_progress, client_of
from prepal.cli.output import add_json, print_json
from prepal.cli.watching import outcome, watch
from prepal.simulation.datafile import read_items
from prepal.values.enums import JobState
from prepal.values.job import LabeledText

HELP = "fine-tune a transformer on what a project has labeled"

DESCRIPTION = """\
Starts a job on the labels the project has now and shows its progress. Ctrl-C leaves the job running and says how to
come back to it. The exit status is 1 when the job fails.

example:
  prepal train sentiment --evaluation test.tsv --out ./model
  prepal train sentiment --backbone roberta-base --epochs 5 --detach

file: .tsv, .csv, .jsonl or .parquet, each also .gz, with the columns id, text, (text_pair,) label
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("project", help="the project's name")
    parser.add_argument(
        "--backbone", default="", metavar="MODEL", help="minilm, a Hugging Face id, or a folder (the pool's)"
    )
    parser.add_argument("--evaluation", type=Path, metavar="FILE", help="labeled texts to evaluate on at the end")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the labels (3)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="items a step (16)")
    parser.add_argument("--learning-rate", type=float, metavar="RATE", help="peak learning rate of AdamW (5e-5)")
    parser.add_argument("--weight-decay", type=float, metavar="DECAY", help="decoupled weight decay (0.01)")
    parser.add_argument("--warmup-ratio", type=float, metavar="SHARE", help="of the steps, to warm up (0.1)")
    parser.add_argument("--max-length", type=int, metavar="TOKENS", help="tokens kept of a text (128)")
    parser.add_argument("--seed", type=int, metavar="N", help="what random choices start from (0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="download the checkpoint to this folder")
    parser.add_argument("--detach", action="store_true", help="start the job and leave it")
    add_progress(parser)
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if args.detach and args.out is not None:
        raise ValueError("--out waits for the job, --detach does not; give one of them")
    rows = [] if args.evaluation is None else read_items(args.evaluation, label=True)
    evaluation = [LabeledText(row.text, row.label or "", row.text_pair) for row in rows]
    with client_of(args) as client:
        job = client.start_job(
            args.project,
            backbone=args.backbone,
            epochs=args.epochs,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            warmup_ratio=args.warmup_ratio,
            max_length=args.max_length,
            seed=args.seed,
            evaluation=evaluation,
        )
        sys.stderr.write(f"job {job.id}: fine-tuning {job.backbone} on {job.items:,} labels\n")
        if not args.detach:
            job = watch(client, job.id, progress=args.progress)
        if args.out is not None and job.state is JobState.SUCCEEDED:
            client.download_checkpoint(job.id, args.out, progress=args.progress)
    if args.json:
        print_json(job)
    elif args.detach:
        print(job.id)
    else:
        print(outcome(job))
        if args.out is not None and job.state is JobState.SUCCEEDED:
            print(f"checkpoint: {args.out}")
    return 1 if job.state in (JobState.FAILED, JobState.CANCELLED) else 0
