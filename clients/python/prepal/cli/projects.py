"""`prepal projects`: the projects there are, and their settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict

from prepal._sync.client import Client
from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import add_json, print_fields, print_json, print_table
from prepal.cli.settings import ACQUISITIONS, add_head, add_parameters, described, head_of, parameters_of
from prepal.values.head import LogisticHead
from prepal.values.project import Project, ProjectStatus

HELP = "list projects, create, show, update or delete one"

DESCRIPTION = """\
Lists the projects, or does something with one of them.

example:
  prepal projects
  prepal projects create sentiment --pool reviews --label negative --label positive
  prepal projects show sentiment
  prepal projects update sentiment --acquisition margin --add-label neutral
  prepal projects delete sentiment
"""

_Action = Callable[[Client, argparse.Namespace], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    add_json(parser)
    add_addresses(parser)
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="ACTION", title="actions")
    create = _add_action(actions, "create", "create a project over a pool", _create)
    create.add_argument("--pool", required=True, help="the pool whose items are labeled")
    create.add_argument("--label", action="append", default=[], metavar="NAME", help="a label; give two or more")
    _add_settings(create, unsaid=("max_entropy, for an svm margin", "random", "600", "logistic"))
    _add_action(actions, "show", "show a project's settings and counts", _show)
    update = _add_action(actions, "update", "change a project's settings", _update)
    update.add_argument("--add-label", action="append", default=[], metavar="NAME", help="one more label")
    _add_settings(update, unsaid=("unchanged",) * 4)
    _add_action(actions, "delete", "delete a project with its labels; the pool stays", _delete)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    action: _Action = args.action
    with client_of(args) as client:
        action(client, args)
    return 0


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str, action: _Action
) -> argparse.ArgumentParser:
    example = next(line for line in DESCRIPTION.splitlines() if f"projects {name}" in line)
    parser = actions.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.\n\nexample:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("project", help="the project's name")
    parser.set_defaults(action=action)
    add_json(parser, again=True)
    add_addresses(parser, again=True)
    return parser


def _add_settings(parser: argparse.ArgumentParser, *, unsaid: tuple[str, str, str, str]) -> None:
    """Adds the settings; `unsaid` are the words for what each is when it is not given."""
    acquisition, cold_start, reservation, head = unsaid
    parser.add_argument("--acquisition", metavar="NAME", help=f"what chooses: {ACQUISITIONS} ({acquisition})")
    parser.add_argument(
        "--cold-start",
        metavar="NAME",
        help=f"what chooses without a head: random, coreset, kmeans, typiclust or prob_cover ({cold_start})",
    )
    parser.add_argument(
        "--reservation", type=float, metavar="SECONDS", help=f"for selected items; 0 for none ({reservation})"
    )
    add_head(parser, unsaid=head)
    add_parameters(parser)


def _list(client: Client, args: argparse.Namespace) -> None:
    projects = list(client.projects())
    if args.json:
        print_json(projects)
        return
    rows = []
    for project in projects:
        status = client.get_project(project.name)
        rows.append((project.name, project.pool, project.labels, project.acquisition, status.labeled, status.items))
    print_table(
        ["project", "pool", "labels", "acquisition", "labeled", "items"],
        rows,
        empty="there are no projects; make one with: prepal projects create NAME --pool POOL --label A --label B",
    )


def _create(client: Client, args: argparse.Namespace) -> None:
    project = client.create_project(
        args.project,
        pool=args.pool,
        labels=args.label,
        acquisition=args.acquisition,
        cold_start=args.cold_start,
        parameters=parameters_of(args),
        reservation=args.reservation,
        head=head_of(args, LogisticHead()),
    )
    _print_project(project, args)


def _update(client: Client, args: argparse.Namespace) -> None:
    now = client.get_project(args.project).project
    project = client.update_project(
        args.project,
        add_labels=args.add_label,
        acquisition=args.acquisition,
        cold_start=args.cold_start,
        parameters=parameters_of(args, now.parameters),
        reservation=args.reservation,
        head=head_of(args, now.head),
    )
    _print_project(project, args)


def _show(client: Client, args: argparse.Namespace) -> None:
    status = client.get_project(args.project)
    if args.json:
        print_json(status)
    else:
        print_fields(_settings(status.project) | _counts(status))


def _delete(client: Client, args: argparse.Namespace) -> None:
    deleted = client.delete_project(args.project)
    if args.json:
        print_json({"deleted": deleted})
    else:
        print(f"project {args.project} is deleted" if deleted else f"there was no project {args.project}")


def _print_project(project: Project, args: argparse.Namespace) -> None:
    if args.json:
        print_json(project)
    else:
        print_fields(_settings(project))


def _settings(project: Project) -> dict[str, object]:
    parameters = [f"{name} {value}" for name, value in asdict(project.parameters).items() if value is not None]
    return {
        "project": project.name,
        "pool": project.pool,
        "labels": project.labels,
        "acquisition": project.acquisition,
        "cold start": project.cold_start,
        "reservation": f"{project.reservation:g} s" if project.reservation else "off",
        "head": described(project.head),
        "parameters": ", ".join(parameters) or "defaults",
        "created": project.created_at,
    }


def _counts(status: ProjectStatus) -> dict[str, object]:
    labeled = ", ".join(f"{label} {count:,}" for label, count in status.labeled_per_label.items())
    head = f"version {status.head_version}" if status.head_version else "none yet"
    return {
        "items": status.items,
        "labeled": f"{status.labeled:,} ({labeled})",
        "skipped": status.skipped,
        "reserved": status.reserved,
        "fitted head": head,
        "stopping": _stopping(status),
    }


def _stopping(status: ProjectStatus) -> str:
    """Returns in words whether further labels still change what the head predicts."""
    if not status.stopping or status.stopping[-1].agreement is None:
        return "too few labels to tell"
    last = status.stopping[-1]
    said = "predictions have stabilised" if status.stabilised else "predictions still change"
    expected = "" if last.expected_error is None else f", expected error {last.expected_error:.1%}"
    return f"{said} (agreement {last.agreement:.3f} from {last.since:,} to {last.labeled:,} labels{expected})"
