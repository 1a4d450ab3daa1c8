"""Arguments that say what chooses and which head it sees, the same for every command that takes them."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

from prepal.values.acquisition import AcquisitionParameters
from prepal.values.enums import Acquisition, ClassWeight, Posterior, Representation, parse
from prepal.values.head import Head, LogisticHead, McDropoutHead, SvmHead

ACQUISITIONS = f"{', '.join(Acquisition)}, or the name of an installed function"

_KINDS = {"logistic": LogisticHead, "mc_dropout": McDropoutHead, "svm": SvmHead}

_PARAMETERS = (
    ("samples", int, "S", "posterior samples of bald, batch_bald and power_bald (50)"),
    ("posterior", str, "HOW", f"how a logistic head is sampled: {', '.join(Posterior)} (dropout)"),
    ("dropout", float, "RATE", "of the dropout on a logistic head's inputs (0.1)"),
    ("beta", float, "B", "exponent of power_bald (1)"),
    ("configurations", int, "N", "of labels that batch_bald keeps (10,000)"),
    ("sub_batches", int, "N", "parts in which dal chooses (10)"),
    ("sub_pool", int, "N", "items, drawn at random, that the function looks at (all; prob_cover 20,000)"),
    ("neighbours", int, "N", "of contrastive (10) and typiclust (20)"),
    ("clusters", int, "N", "of density, typiclust and cluster_margin"),
    ("candidates", int, "N", "of kmeans_margin and cluster_margin, as a multiple of k (10)"),
    ("radius", float, "R", "of the balls of prob_cover"),
    ("representation", str, "WHERE", f"where coreset and dal measure: {', '.join(Representation)} (embeddings)"),
)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Adds the parameters of acquisition functions."""
    group = parser.add_argument_group("parameters of acquisition functions")
    for name, kind, metavar, what in _PARAMETERS:
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=what)


def parameters_of(args: argparse.Namespace, now: AcquisitionParameters | None = None) -> AcquisitionParameters | None:
    """Returns the parameters that were given, those that were not as they are `now`; None when none was given."""
    given = AcquisitionParameters(
        samples=args.samples,
        posterior=args.posterior,
        dropout=args.dropout,
        beta=args.beta,
        configurations=args.configurations,
        sub_batches=args.sub_batches,
        sub_pool=args.sub_pool,
        neighbours=args.neighbours,
        clusters=args.clusters,
        candidates=args.candidates,
        radius=args.radius,
        representation=args.representation,
    )
    said = {field.name: getattr(given, field.name) for field in fields(given) if getattr(given, field.name) is not None}
    return replace(now or AcquisitionParameters(), **said) if said else None


def add_head(parser: argparse.ArgumentParser, *, unsaid: str) -> None:
    """Adds the head's settings; `unsaid` is the word for what it is when nothing is given."""
    group = parser.add_argument_group("the head")
    group.add_argument("--head", choices=list(_KINDS), help=f"what is fit on the labels ({unsaid})")
    group.add_argument(
        "--inverse-regularization",
        type=float,
        metavar="C",
        help="of the L2 penalty (logistic and mc_dropout 10, svm 1)",
    )
    group.add_argument(
        "--hidden", type=int, action="append", metavar="N", help="a hidden layer of mc_dropout; repeat it"
    )
    group.add_argument("--head-dropout", type=float, metavar="RATE", help="of mc_dropout (0.1)")
    group.add_argument("--class-weight", metavar="HOW", help=f"{', '.join(ClassWeight)} (equal)")


def head_of(args: argparse.Namespace, now: Head) -> Head | None:
    """Returns the head that was given, None when nothing was; what was not given stays as it is `now`.

    Raises:
        ValueError: a setting is not one of the head's kind.
    """
    given = (args.head, args.inverse_regularization, args.hidden, args.head_dropout, args.class_weight)
    if all(value is None for value in given):
        return None
    base = now if args.head is None or isinstance(now, _KINDS[args.head]) else _KINDS[args.head]()
    weight = base.class_weight if args.class_weight is None else parse(ClassWeight, args.class_weight)
    strength = base.inverse_regularization if args.inverse_regularization is None else args.inverse_regularization
    if isinstance(base, McDropoutHead):
        return replace(
            base,
            hidden=base.hidden if args.hidden is None else args.hidden,
            dropout=base.dropout if args.head_dropout is None else args.head_dropout,
            inverse_regularization=strength,
            class_weight=weight,
        )
    if args.hidden is not None or args.head_dropout is not None:
        raise ValueError("--hidden and --head-dropout are of the head mc_dropout; add --head mc_dropout")
    return replace(base, inverse_regularization=strength, class_weight=weight)


def described(head: Head) -> str:
    """Returns a head's settings in words."""
    weight = "" if head.class_weight is ClassWeight.EQUAL else f", {head.class_weight} class weights"
    if isinstance(head, McDropoutHead):
        layers = " and ".join(str(units) for units in head.hidden) or "no"
        return (
            f"mc_dropout, {layers} hidden units, dropout {head.dropout:g}, C = {head.inverse_regularization:g}{weight}"
        )
    kind = "svm" if isinstance(head, SvmHead) else "logistic"
    return f"{kind}, C = {head.inverse_regularization:g}{weight}"
