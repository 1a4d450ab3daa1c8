"""Every failure becomes one of our exceptions, with all that the service said."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import prepal
import pytest
from prepal import errors

from tests.sdk.conftest import Ask
from tests.sdk.scripted import Scripted, refuses

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.NOT_FOUND, errors.NotFound),
        (Code.INVALID_ARGUMENT, errors.InvalidRequest),
        (Code.OUT_OF_RANGE, errors.InvalidRequest),
        (Code.ALREADY_EXISTS, errors.AlreadyExists),
        (Code.FAILED_PRECONDITION, errors.FailedPrecondition),
        (Code.RESOURCE_EXHAUSTED, errors.Overloaded),
        (Code.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (Code.PERMISSION_DENIED, errors.Refused),
        (Code.UNAUTHENTICATED, errors.Refused),
        (Code.INTERNAL, errors.Internal),
    ],
)
async def test_a_status_is_one_class(
    ask: Ask, server: Scripted, code: grpc.StatusCode, kind: type[errors.PrepalError]
) -> None:
    server.script("GetPool", refuses(code, "a sentence", "A_REASON"))
    with pytest.raises(errors.PrepalError) as caught:
        await ask(lambda client: client.get_pool("p"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason, str(caught.value)) == (code.name, "A_REASON", "a sentence")


def test_every_status_of_grpc_has_its_class() -> None:
    assert set(errors.BY_STATUS) == {code.name for code in grpc.StatusCode} - {"OK"}


async def test_an_error_carries_all_that_the_service_said(ask: Ask, server: Scripted) -> None:
    server.script(
        "GetPool",
        refuses(
            Code.INVALID_ARGUMENT,
            "k must be between 1 and 1000, got 0",
            "INVALID_FIELD",
            violations=[("k", "k must be between 1 and 1000, got 0"), ("annotator", "annotator is too long")],
            metadata={"limit": "1000"},
        ),
    )
    with pytest.raises(errors.InvalidRequest) as caught:
        await ask(lambda client: client.get_pool("p"))
    error = caught.value
    assert error.violations == (
        errors.Violation("k", "k must be between 1 and 1000, got 0"),
        errors.Violation("annotator", "annotator is too long"),
    )
    assert error.metadata == {"limit": "1000"}
    # What the message says already is not said twice.
    assert str(error) == "k must be between 1 and 1000, got 0; annotator is too long"


async def test_a_service_that_is_not_there_is_named_with_the_remedy(asker: Callable[..., Ask]) -> None:
    ask = asker("127.0.0.1:1", prepal.Patience(first_contact=0.1, first_delay=0.01))
    with pytest.raises(errors.Unavailable, match=r"the embedder at 127\.0\.0\.1:1: is `prepal up` running\?") as caught:
        await ask(lambda client: client.get_pool("p"))
    assert (caught.value.status, caught.value.reason) == ("UNAVAILABLE", "")


async def test_a_server_of_something_else_is_told_apart(ask: Ask, server: Scripted) -> None:
    server.script("GetPool", refuses(Code.UNIMPLEMENTED, "Method not found!"))
    with pytest.raises(errors.Internal, match=r"does not know GetPool: is it this service, and of the same version"):
        await ask(lambda client: client.get_pool("p"))


async def test_a_stream_that_fails_carries_the_same_errors(ask: Ask, server: Scripted) -> None:
    server.script("Predict", refuses(Code.FAILED_PRECONDITION, "no head can be fit yet", "HEAD_NOT_FIT"))
    with pytest.raises(errors.FailedPrecondition, match="no head can be fit yet") as caught:
        await ask(lambda client: client.predict("p", texts=["a"]))
    assert caught.value.reason == "HEAD_NOT_FIT"
