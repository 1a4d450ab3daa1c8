"""Adding items: any number, over streams that break, without losing, repeating or hoarding any."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import prepal
import pytest
from prepal.v1 import embedder_pb2

from tests.sdk.conftest import Ask
from tests.sdk.scripted import Answer, Scripted, refuses


class Pool:
    """A pool in memory that acknowledges as the contract says."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}

    def takes(self, chunks: int | None = None, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Answer:
        """Answers with acknowledgements; cuts the stream once it has taken `chunks` and acknowledged one less."""

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            for number, request in enumerate(requests):
                acknowledgement = self._take(number, request)
                if number + 1 == chunks:
                    context.abort(code, "the stream is cut")
                yield acknowledgement

        return answer

    def _take(self, number: int, request: Any) -> Any:
        ack = embedder_pb2.AddItemsResponse(chunk=number)
        for index, item in enumerate(request.items):
            if not item.text.strip():
                ack.rejected.add(index=index, item_id=item.item_id, reason="EMPTY_TEXT", message="text is empty")
            elif item.item_id in self.items:
                ack.already_there += 1
            else:
                self.items[item.item_id] = item.text
                ack.accepted += 1
        ack.pool_items = len(self.items)
        return ack


@pytest.fixture
def pool(server: Scripted) -> Pool:
    made = Pool()
    server.script("AddItems", made.takes())
    return made


def items(count: int) -> list[prepal.Item]:
    return [prepal.Item(f"i{number}", f"text {number}") for number in range(count)]


async def test_every_item_arrives_once_and_is_counted(ask: Ask, server: Scripted, pool: Pool) -> None:
    result = await ask(lambda client: client.add_items("p", items(25), chunk_size=10))
    assert (result.accepted, result.already_there, result.rejected, result.pool_items) == (25, 0, (), 25)
    assert [len(request.items) for request in server.requests["AddItems"]] == [10, 10, 5]
    assert {request.pool for request in server.requests["AddItems"]} == {"p"}


async def test_a_cut_stream_is_opened_anew_and_only_what_was_not_acknowledged_is_sent_again(
    ask: Ask, server: Scripted, pool: Pool
) -> None:
    server.script("AddItems", pool.takes(3), pool.takes())
    result = await ask(lambda client: client.add_items("p", items(60), chunk_size=10))
    assert len(pool.items) == 60
    # The third chunk was durable when the stream broke, so its second sending found it there.
    assert (result.accepted, result.already_there) == (50, 10)
    sent_again = [request.items[0].item_id for request in server.requests["AddItems"]]
    assert sent_again.count("i0") == 1
    assert sent_again.count("i20") == 2


async def test_streams_may_break_again_and_again_as_long_as_each_gets_on(
    ask: Ask, server: Scripted, pool: Pool
) -> None:
    server.script("AddItems", *[pool.takes(2)] * 20, pool.takes())
    result = await ask(lambda client: client.add_items("p", items(200), chunk_size=10))
    assert len(pool.items) == 200
    assert result.acknowledged == 200


async def test_patience_begins_anew_with_every_acknowledgement(
    asker: Callable[..., Ask], server: Scripted, pool: Pool
) -> None:
    # Twenty waits of at least 25 ms are longer than this patience, but none of them is.
    ask = asker(server.address, prepal.Patience(restart=0.25, first_delay=0.05, longest_delay=0.05))
    server.script("AddItems", *[pool.takes(2)] * 20, pool.takes())
    result = await ask(lambda client: client.add_items("p", items(200), chunk_size=10))
    assert result.acknowledged == 200


async def test_a_stream_that_never_gets_on_ends_with_what_was_acknowledged(
    asker: Callable[..., Ask], server: Scripted, pool: Pool
) -> None:
    server.script("AddItems", pool.takes(3), refuses(grpc.StatusCode.UNAVAILABLE, "gone"))
    patience = prepal.Patience(first_contact=0.2, restart=0.2, first_delay=0.01, longest_delay=0.02)
    ask = asker(server.address, patience)
    with pytest.raises(prepal.errors.Unavailable, match="is `prepal up` running") as caught:
        await ask(lambda client: client.add_items("p", items(60), chunk_size=10))
    assert caught.value.__notes__ == [
        "20 items were acknowledged before; those accepted are safe, and adding all again is safe too"
    ]


async def test_a_service_that_ends_a_stream_early_is_asked_again(ask: Ask, server: Scripted, pool: Pool) -> None:
    whole = pool.takes()

    def ends_after_one(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        yield next(whole(requests, context))

    server.script("AddItems", ends_after_one, whole)
    result = await ask(lambda client: client.add_items("p", items(30), chunk_size=10))
    assert result.acknowledged == 30


async def test_an_acknowledgement_out_of_order_is_no_acknowledgement(ask: Ask, server: Scripted) -> None:
    def confused(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        next(requests)
        yield embedder_pb2.AddItemsResponse(chunk=1, accepted=10)

    server.script("AddItems", confused)
    with pytest.raises(prepal.errors.Internal, match="acknowledged chunk 1, where 0 was next"):
        await ask(lambda client: client.add_items("p", items(10)))


async def test_an_overloaded_service_is_asked_again_when_it_says(ask: Ask, server: Scripted, pool: Pool) -> None:
    busy = refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", "OVERLOADED", retry_after=0.05)
    server.script("AddItems", busy, busy, pool.takes())
    result = await ask(lambda client: client.add_items("p", items(10)))
    assert result.accepted == 10


async def test_an_error_that_a_repetition_does_not_cure_ends_the_call(ask: Ask, server: Scripted) -> None:
    server.script("AddItems", refuses(grpc.StatusCode.NOT_FOUND, "pool p does not exist", "POOL_NOT_FOUND"))
    with pytest.raises(prepal.errors.NotFound, match="pool p does not exist"):
        await ask(lambda client: client.add_items("p", items(1000), chunk_size=10))
    assert server.calls["AddItems"] == 1


async def test_a_rejected_item_is_named_by_its_position_in_all_that_was_added(ask: Ask, pool: Pool) -> None:
    given = items(25)
    given[17] = prepal.Item("bad", " ")
    result = await ask(lambda client: client.add_items("p", given, chunk_size=10))
    assert result.rejected == (
        prepal.RejectedItem(index=17, item_id="bad", reason="EMPTY_TEXT", message="text is empty"),
    )
    assert result.accepted == 24


async def test_a_generator_is_never_far_ahead_of_the_acknowledgements(ask: Ask, pool: Pool) -> None:
    ahead: list[int] = []
    drawn = 0

    def generate() -> Iterator[prepal.Item]:
        nonlocal drawn
        for item in items(3000):
            drawn += 1
            yield item

    def note(result: prepal.AddItemsResult) -> None:
        ahead.append(drawn - result.acknowledged)

    await ask(lambda client: client.add_items("p", generate(), chunk_size=10, on_progress=note))
    assert len(ahead) == 300
    # Four chunks in flight, less the one just acknowledged, and the first item of the next.
    assert max(ahead) <= 4 * 10 + 1


async def test_a_generator_that_fails_ends_the_call_with_its_own_error(ask: Ask, pool: Pool) -> None:
    def generate() -> Iterator[prepal.Item]:
        yield from items(20)
        raise RuntimeError("the file is torn")

    with pytest.raises(RuntimeError, match="the file is torn"):
        await ask(lambda client: client.add_items("p", generate(), chunk_size=10))


async def test_a_generator_runs_in_the_thread_that_adds(server: Scripted, pool: Pool) -> None:
    threads: set[int] = set()

    def generate() -> Iterator[prepal.Item]:
        for item in items(50):
            threads.add(threading.get_ident())
            yield item

    with prepal.Client(embedder=server.address) as client:
        client.add_items("p", generate(), chunk_size=10)
    assert threads == {threading.get_ident()}


async def test_an_asynchronous_generator_can_be_added(server: Scripted, pool: Pool) -> None:
    async def generate() -> Any:
        for item in items(50):
            yield item

    async with prepal.AsyncClient(embedder=server.address) as client:
        result = await client.add_items("p", generate(), chunk_size=10)
    assert result.accepted == 50


async def test_no_items_at_all_are_no_error(ask: Ask, pool: Pool) -> None:
    assert await ask(lambda client: client.add_items("p", [])) == prepal.AddItemsResult()


async def test_a_chunk_is_closed_before_it_outgrows_a_message(ask: Ask, server: Scripted, pool: Pool) -> None:
    given = (prepal.Item(f"i{number}", "x" * 99_000) for number in range(60))
    await ask(lambda client: client.add_items("p", given))
    assert max(request.ByteSize() for request in server.requests["AddItems"]) < 2.2 * 2**20
    assert len(pool.items) == 60


async def test_an_embedding_travels_packed(ask: Ask, server: Scripted, pool: Pool) -> None:
    vectors = [np.arange(3, dtype=np.float16), np.arange(3, dtype=np.float32), np.arange(3.0), [0, 1, 2]]
    given = [prepal.Item(f"i{row}", "text", embedding=vector) for row, vector in enumerate(vectors)]
    await ask(lambda client: client.add_items("p", given))
    sent = [prepal.tensors.unpack(item.embedding) for item in server.requests["AddItems"][0].items]
    assert [vector.dtype for vector in sent] == [np.float16, np.float32, np.float32, np.float32]
    assert all(vector.tolist() == [0, 1, 2] for vector in sent)


async def test_a_number_too_large_to_travel_is_left_to_the_service_to_refuse(
    ask: Ask, server: Scripted, pool: Pool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await ask(lambda client: client.add_items("p", [prepal.Item("a", "text", embedding=[1e300])]))
    (sent,) = server.requests["AddItems"][0].items
    assert prepal.tensors.unpack(sent.embedding).tolist() == [float("inf")]


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("a text", TypeError, r"items must be prepal.Item, got str: 'a text'"),
        (prepal.Item("a", "\udc80"), ValueError, "item 'a' cannot be sent: .*surrogates"),
        (prepal.Item("a", 5), ValueError, "item .a. cannot be sent: bad argument type"),
        (prepal.Item("a", "b", metadata={"x": float("nan")}), ValueError, "item 'a' cannot be sent: .*JSON"),
        (prepal.Item("a", "b", embedding=np.zeros((2, 2))), ValueError, r"item 'a'.*shape \(D,\), got shape \(2, 2\)"),
        (prepal.Item("a", "b", embedding=["x"]), ValueError, "item 'a'.*vector of numbers"),
    ],
)
async def test_an_item_that_cannot_be_sent_is_named(
    ask: Ask, pool: Pool, item: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await ask(lambda client: client.add_items("p", [item]))


@pytest.mark.parametrize("size", [0, 2001])
async def test_a_chunk_size_out_of_range_is_refused(ask: Ask, pool: Pool, size: int) -> None:
    with pytest.raises(ValueError, match=f"chunk_size must be between 1 and 2,000, got {size}"):
        await ask(lambda client: client.add_items("p", items(1), chunk_size=size))


async def test_a_long_call_takes_several_streams(
    ask: Ask, server: Scripted, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("prepal._sync.adding", "prepal._async.adding"):
        monkeypatch.setattr(f"{module}._LONGEST_STREAM", 0.01)

    def slowly() -> Iterator[prepal.Item]:
        for item in items(40):
            threading.Event().wait(0.002)
            yield item

    result = await ask(lambda client: client.add_items("p", slowly(), chunk_size=5))
    assert (result.accepted, result.already_there) == (40, 0)
    assert server.calls["AddItems"] > 1


async def test_items_may_come_more_slowly_than_the_timeout(
    ask: Ask, server: Scripted, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("prepal._sync.adding", "prepal._async.adding"):
        monkeypatch.setattr(f"{module}._LONGEST_STREAM", 0.05)

    def slowly() -> Iterator[prepal.Item]:
        yield from items(6)
        threading.Event().wait(0.5)
        yield from items(12)[6:]

    result = await ask(lambda client: client.add_items("p", slowly(), chunk_size=5, timeout=0.2))
    assert len(pool.items) == 12
    assert result.acknowledged == 12


async def test_a_service_that_acknowledges_nothing_is_given_up_after_the_timeout(
    ask: Ask, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("prepal._sync.adding", "prepal._async.adding"):
        monkeypatch.setattr(f"{module}._LONGEST_STREAM", 0.0)
    released = threading.Event()

    def silent(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        released.wait(10)
        yield from ()

    server.script("AddItems", silent)
    try:
        with pytest.raises(prepal.errors.DeadlineExceeded, match=r"did not answer AddItems within 0\.3 seconds"):
            await ask(lambda client: client.add_items("p", items(1), timeout=0.3))
    finally:
        released.set()


async def test_a_bar_is_shown_when_asked_for(ask: Ask, pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    await ask(lambda client: client.add_items("reviews", items(30), chunk_size=10, progress=True))
    shown = capfd.readouterr().err
    assert "reviews: 100%" in shown
    assert "30/30" in shown
