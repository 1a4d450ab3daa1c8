"""Calls are tried again while that may help, never act twice, and never outlast their timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import prepal
import pytest
from prepal import errors
from prepal._retry import Attempts, Patience
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2

from tests.sdk.conftest import QUICK, Ask
from tests.sdk.scripted import Scripted, gives, refuses

Code = grpc.StatusCode
POOL = gives(embedder_pb2.GetPoolResponse(pool=embedder_pb2.Pool(name="p")))
SELECTION = gives(selector_pb2.SelectResponse(acquisition=selector_pb2.ACQUISITION_RANDOM))
GONE = refuses(Code.UNAVAILABLE, "draining")


async def test_an_unavailable_service_is_asked_again(ask: Ask, server: Scripted) -> None:
    server.script("GetPool", GONE, GONE, POOL)
    assert (await ask(lambda client: client.get_pool("p"))).name == "p"
    assert server.calls["GetPool"] == 3


@pytest.mark.parametrize(
    "broken",
    [refuses(Code.CANCELLED, "CANCELLED"), refuses(Code.INTERNAL, "Received RST_STREAM with error code 2")],
)
async def test_a_connection_that_breaks_is_unavailable_whatever_grpc_calls_it(
    ask: Ask, server: Scripted, broken: Any
) -> None:
    server.script("GetPool", broken, POOL)
    assert (await ask(lambda client: client.get_pool("p"))).name == "p"


async def test_an_unreachable_service_is_told_even_when_the_timeout_ends_before_the_patience(
    asker: Callable[..., Ask],
) -> None:
    ask = asker("127.0.0.1:1", Patience(first_contact=60.0, first_delay=0.01))
    with pytest.raises(errors.Unavailable, match="is `prepal up` running"):
        await ask(lambda client: client.get_pool("p", timeout=0.5))


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    asker: Callable[..., Ask], server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for variable in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    server.script("GetPool", POOL)
    for host in ("127.0.0.1", "localhost"):
        ask = asker(server.address.replace("127.0.0.1", host))
        assert (await ask(lambda client: client.get_pool("p"))).name == "p"


async def test_it_is_asked_more_often_than_grpc_would_by_itself(ask: Ask, server: Scripted) -> None:
    server.script("GetPool", *[GONE] * 9, POOL)
    assert (await ask(lambda client: client.get_pool("p"))).name == "p"


@pytest.mark.parametrize(
    ("rpc", "call", "response"),
    [
        ("Select", lambda client: client.select("p", k=1), SELECTION),
        ("RecordLabels", lambda c: c.record_labels("p", {"a": "x"}), gives(selector_pb2.RecordLabelsResponse())),
        (
            "StartJob",
            lambda client: client.start_job("p"),
            gives(trainer_pb2.StartJobResponse(job=trainer_pb2.Job(state=trainer_pb2.JOB_STATE_QUEUED))),
        ),
    ],
)
async def test_a_repetition_has_the_request_id_of_the_first_try_and_another_call_its_own(
    ask: Ask, server: Scripted, rpc: str, call: Any, response: Any
) -> None:
    server.script(rpc, *[GONE] * 6, response)
    await ask(call)
    await ask(call)
    *tries, other = [request.request_id for request in server.requests[rpc]]
    assert len(tries) == 7
    assert len(set(tries)) == 1
    assert tries[0]
    assert other
    assert other != tries[0]


async def test_a_given_request_id_is_kept(ask: Ask, server: Scripted) -> None:
    server.script("Select", SELECTION)
    await ask(lambda client: client.select("p", k=1, request_id="mine"))
    assert server.requests["Select"][0].request_id == "mine"


async def test_an_overloaded_service_is_asked_again_after_the_time_it_says(ask: Ask, server: Scripted) -> None:
    busy = refuses(Code.RESOURCE_EXHAUSTED, "busy", "OVERLOADED", retry_after=0.2)
    server.script("GetPool", busy, POOL)
    began = time.monotonic()
    await ask(lambda client: client.get_pool("p"))
    assert time.monotonic() - began >= 0.2


async def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for(ask: Ask, server: Scripted) -> None:
    server.script("GetPool", refuses(Code.RESOURCE_EXHAUSTED, "busy", "OVERLOADED", retry_after=30))
    began = time.monotonic()
    with pytest.raises(errors.Overloaded, match="busy") as caught:
        await ask(lambda client: client.get_pool("p", timeout=1))
    assert caught.value.retry_after == 30
    assert time.monotonic() - began < 1


async def test_a_message_that_is_too_large_is_not_sent_again(ask: Ask, server: Scripted) -> None:
    server.script("GetPool", refuses(Code.RESOURCE_EXHAUSTED, "message larger than max"))
    with pytest.raises(errors.Overloaded, match="refused GetPool: message larger than max"):
        await ask(lambda client: client.get_pool("p"))
    assert server.calls["GetPool"] == 1


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.INTERNAL, Code.FAILED_PRECONDITION])
async def test_an_error_that_stays_is_not_repeated(ask: Ask, server: Scripted, code: grpc.StatusCode) -> None:
    server.script("GetPool", refuses(code, "no", "NO"))
    with pytest.raises(errors.PrepalError):
        await ask(lambda client: client.get_pool("p"))
    assert server.calls["GetPool"] == 1


async def test_a_call_ends_with_its_timeout(ask: Ask, server: Scripted) -> None:
    ended, over = threading.Event(), threading.Event()

    def silent(request: Any, context: grpc.ServicerContext) -> None:
        assert context.time_remaining() < 1
        context.add_callback(ended.set)
        over.wait(10)

    server.script("GetPool", silent)
    with pytest.raises(errors.DeadlineExceeded, match=r"did not answer GetPool within 0\.2 seconds"):
        await ask(lambda client: client.get_pool("p", timeout=0.2))
    assert ended.wait(10)
    over.set()


async def test_the_clients_timeout_holds_for_calls_that_name_none(asker: Callable[..., Ask], server: Scripted) -> None:
    left: list[float] = []

    def note(request: Any, context: grpc.ServicerContext) -> Any:
        left.append(context.time_remaining())
        return POOL(request, context)

    server.script("GetPool", note)
    ask = asker(server.address, timeout=7.0)
    await ask(lambda client: client.get_pool("p"))
    await ask(lambda client: client.get_pool("p", timeout=3.0))
    await asker(server.address)(lambda client: client.get_pool("p"))
    assert [round(seconds) for seconds in left] == [7, 3, 60]


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
async def test_a_timeout_that_is_none_is_refused(ask: Ask, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0 seconds"):
        await ask(lambda client: client.get_pool("p", timeout=seconds))


async def test_a_service_that_restarts_is_found_again(asker: Callable[..., Ask]) -> None:
    first = Scripted()
    first.script("GetPool", POOL)
    ask = asker(first.address, QUICK)
    await ask(lambda client: client.get_pool("p"))
    first.stop()
    second: list[Scripted] = []

    def start() -> None:
        second.append(Scripted(first.address))
        second[0].script("GetPool", POOL)

    # The client's patience with a service that never answered it is 1 second here, with one that did, 5.
    timer = threading.Timer(1.5, start)
    timer.start()
    try:
        assert (await ask(lambda client: client.get_pool("p"))).name == "p"
    finally:
        timer.join()
        second[0].stop()


async def test_a_stream_of_predictions_that_breaks_begins_again(ask: Ask, server: Scripted) -> None:
    def chunk(item_id: str) -> selector_pb2.PredictResponse:
        row = prepal.tensors.pack(prepal.values.prediction.np.array([[0.25, 0.75]], "float32"))
        return selector_pb2.PredictResponse(item_ids=[item_id], probabilities=row, labels=["x", "y"], head_version=3)

    def breaks(request: Any, context: grpc.ServicerContext) -> Any:
        yield chunk("a")
        context.abort(Code.UNAVAILABLE, "cut")

    server.script("Predict", breaks, gives([chunk("a"), chunk("b")]))
    predictions = await ask(lambda client: client.predict("p", pool="pool"))
    assert predictions.ids == ("a", "b")


class TestAttempts:
    """The decision alone, under a clock that the test moves."""

    def attempts(self, timeout: float, patience: Patience | None = None) -> tuple[Attempts, list[float]]:
        now = [0.0]
        return Attempts(timeout=timeout, patience=patience or Patience(), clock=lambda: now[0], draw=lambda: 1.0), now

    def test_waits_double_up_to_the_longest(self) -> None:
        attempts, now = self.attempts(1000, Patience(first_delay=0.1, longest_delay=0.5))
        waits = []
        for _ in range(5):
            wait = attempts.delay(errors.Unavailable("gone"), reached_before=True)
            assert wait is not None
            waits.append(wait)
            now[0] += wait
        assert waits == [0.1, 0.2, 0.4, 0.5, 0.5]

    def test_a_service_that_never_answered_is_waited_for_only_shortly(self) -> None:
        attempts, now = self.attempts(1000)
        assert attempts.delay(errors.Unavailable("gone"), reached_before=False) is not None
        now[0] = 3.0
        assert attempts.delay(errors.Unavailable("gone"), reached_before=False) is None

    def test_a_service_that_answered_before_is_waited_for_longer(self) -> None:
        attempts, now = self.attempts(1000)
        for now[0] in (0.0, 3.0, 50.0):
            assert attempts.delay(errors.Unavailable("gone"), reached_before=True) is not None
        now[0] = 60.0
        assert attempts.delay(errors.Unavailable("gone"), reached_before=True) is None

    def test_one_that_says_why_it_is_away_is_there(self) -> None:
        attempts, now = self.attempts(1000)
        away = errors.Unavailable("no Redis", reason="STORE_UNAVAILABLE", retry_after=1.0)
        assert attempts.delay(away, reached_before=False) == pytest.approx(1.2)
        now[0] = 30.0
        assert attempts.delay(away, reached_before=False) == pytest.approx(1.2)

    def test_the_cause_of_a_deadline_is_what_was_waited_for(self) -> None:
        attempts, _ = self.attempts(10)
        late, away = errors.DeadlineExceeded("late"), errors.Unavailable("gone")
        assert attempts.cause(late) is late
        attempts.delay(away, reached_before=True)
        assert attempts.cause(late) is away
        assert attempts.cause(errors.NotFound("no")) is not away

    def test_nothing_is_waited_for_beyond_the_deadline(self) -> None:
        attempts, now = self.attempts(10)
        now[0] = 9.95
        assert attempts.remaining() == pytest.approx(0.05)
        assert attempts.delay(errors.Unavailable("gone"), reached_before=True) is None
        now[0] = 11.0
        assert attempts.remaining() == 0
