"""The calls of the labeling loop: selections, labels and predictions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import Final

from prepal import _methods, errors
from prepal._async.connection import LOADING, Connection
from prepal.v1 import selector_pb2
from prepal.values.acquisition import AcquisitionParameters, built_in, custom, parameters_to_message
from prepal.values.label import Label, LabelEntries, RecordedLabels, entries_to_messages, label_from_message
from prepal.values.names import names
from prepal.values.numbers import count
from prepal.values.pool import Text, text_to_message
from prepal.values.prediction import Predictions, predictions_from_messages
from prepal.values.selection import Selection, selection_from_message
from prepal.values.times import duration_to_message

_TEXTS_A_CALL: Final = 256
_IDS_A_CALL: Final = 10_000


class LabelingCalls:
    """What a client can do in a project's labeling loop."""

    _selector: Connection

    async def select(
        self,
        project: str,
        k: int,
        *,
        acquisition: str | None = None,
        parameters: AcquisitionParameters | None = None,
        max_similarity: float | None = None,
        annotator: str = "",
        reservation: float | timedelta | None = None,
        seed: int | None = None,
        request_id: str | None = None,
        allow_stale_head: bool = False,
        timeout: float | None = None,
    ) -> Selection:
        """Chooses up to k items to label next: none that is labeled, skipped, or reserved by somebody else.

        Args:
            project: the project's name.
            k: items wanted, 1 to 1,000; fewer come back when fewer remain.
            acquisition: "max_entropy" or any other `prepal.Acquisition`, or the name of an installed function, which
                has a dot; by default the project's.
            parameters: what the acquisition function reads, each instead of the project's.
            max_similarity: keeps near-duplicates out: no item whose cosine to a labeled item, or to another of the
                answer, is this or more; more than 0, at most 1. By default duplicates are items like others.
            annotator: who asks; items are reserved for them.
            reservation: seconds for which the items are reserved, 0 to 86,400; 0 reserves nothing; by default the
                project's.
            seed: what random choices start from; by default the server draws one and says which.
            request_id: repeating a call with the same id within a day returns the first answer; by default each call
                has an id of its own, so that a lost answer never reserves twice.
            allow_stale_head: answers with the newest head there is instead of waiting for the one that has seen the
                newest label.
            timeout: seconds; by default 60.

        Raises:
            NotFound: when there is no such project, or its pool is gone.
            InvalidRequest: for k or a parameter out of range, or a parameter that the function does not read.
            FailedPrecondition: when the project's head cannot serve the acquisition function (HEAD_UNSUPPORTED).
            ValueError: for an unknown acquisition; the message lists those there are.

        >>> selection = await client.select("sentiment", k=10)
        >>> len(selection), selection.cold_start
        (4, True)
        """
        request = selector_pb2.SelectRequest(
            project=project,
            k=count("k", k),
            acquisition=built_in(acquisition),
            custom_acquisition=custom(acquisition),
            parameters=parameters_to_message(parameters),
            max_similarity=max_similarity,
            annotator=annotator,
            reservation=duration_to_message(reservation, "reservation"),
            seed=None if seed is None else count("seed", seed, bits=64),
            request_id=request_id or uuid.uuid4().hex,
            allow_stale_head=allow_stale_head,
        )
        return selection_from_message(await self._selector.call(_methods.SELECT, request, timeout))

    async def record_labels(
        self,
        project: str,
        labels: LabelEntries,
        *,
        annotator: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RecordedLabels:
        """Records labels, skips and clears: all of the call, or nothing.

        Args:
            project: the project's name.
            labels: 1 to 10,000 labels by item id, or pairs of item id and label; `prepal.SKIP` and `prepal.CLEAR`
                stand where a label does. Items that were never selected may be labeled too.
            annotator: who says it.
            request_id: repeating a call with the same id within a day returns the first answer; by default each call
                has an id of its own.
            timeout: seconds; by default 60.

        Raises:
            NotFound: when there is no such project.
            InvalidRequest: for items outside the pool (reason UNKNOWN_ITEMS) or labels the project does not have
                (UNKNOWN_LABELS), all of them named.

        >>> said = {"r1": "positive", "r4": "negative", "r2": prepal.SKIP}
        >>> recorded = await client.record_labels("sentiment", said)
        >>> recorded.changed, recorded.labeled
        (3, 2)
        """
        request = selector_pb2.RecordLabelsRequest(
            project=project,
            entries=entries_to_messages(labels),
            annotator=annotator,
            request_id=request_id or uuid.uuid4().hex,
        )
        response = await self._selector.call(_methods.RECORD_LABELS, request, timeout)
        return RecordedLabels(
            changed=response.changed,
            unchanged=response.unchanged,
            label_version=response.label_version,
            labeled=response.labeled,
        )

    async def list_labels(
        self,
        project: str,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Label]:
        """Yields what is recorded, in order of item id, fetching a page at a time.

        Args:
            project: the project's name.
            page_size: labels a page, 1 to 10,000; 0 means the server's choice.
            timeout: seconds for each page; by default 60.

        Raises:
            NotFound: when there is no such project.

        >>> [(label.item_id, label.label) async for label in client.list_labels("sentiment")]
        [('r1', 'positive'), ('r2', None), ('r4', 'negative')]
        """
        token = ""
        while True:
            request = selector_pb2.ListLabelsRequest(
                project=project, page_size=count("page_size", page_size), page_token=token
            )
            response = await self._selector.call(_methods.LIST_LABELS, request, timeout)
            for label in response.labels:
                yield label_from_message(label)
            token = response.next_page_token
            if not token:
                return

    async def predict(
        self,
        project: str,
        *,
        texts: Sequence[Text] | None = None,
        items: Iterable[str] | None = None,
        pool: str | None = None,
        timeout: float | None = None,
    ) -> Predictions:
        """Predicts class probabilities with the project's head.

        Args:
            project: the project's name.
            texts: any number of texts, or of (text, text_pair), embedded with the pool's backbone.
            items: or any number of ids of items of the project's pool.
            pool: or a whole pool with embeddings of the same fingerprint.
            timeout: seconds for each 256 texts, 10,000 items, or the pool; by default 600.

        Raises:
            NotFound: when there is no such project or pool.
            FailedPrecondition: while no head can be fit (HEAD_NOT_FIT), or for a pool whose embeddings are not
                comparable.
            InvalidRequest: for ids that are not in the pool, all of them named.
            ValueError: unless exactly one of texts, items and pool is given.

        >>> predictions = await client.predict("sentiment", texts=["a fine play", "such a bore"])
        >>> predictions.best
        ['positive', 'negative']
        """
        if sum(source is not None for source in (texts, items, pool)) != 1:
            raise ValueError("predict needs exactly one of texts, items and pool")
        requests: list[selector_pb2.PredictRequest] = []
        if texts is not None:
            if isinstance(texts, str):
                raise ValueError("texts must be a list of texts, got one string")
            for start in range(0, len(texts), _TEXTS_A_CALL):
                inputs = [text_to_message(text) for text in texts[start : start + _TEXTS_A_CALL]]
                requests.append(
                    selector_pb2.PredictRequest(project=project, texts=selector_pb2.TextInputs(inputs=inputs))
                )
        elif items is not None:
            ids = list(names("items", items))
            for start in range(0, len(ids), _IDS_A_CALL):
                chunk = selector_pb2.ItemIds(item_ids=ids[start : start + _IDS_A_CALL])
                requests.append(selector_pb2.PredictRequest(project=project, item_ids=chunk))
        else:
            requests.append(selector_pb2.PredictRequest(project=project, pool=pool))
        responses: list[selector_pb2.PredictResponse] = []
        for request in requests:
            responses += await self._predict(request, timeout)
        return predictions_from_messages(responses)

    async def _predict(
        self, request: selector_pb2.PredictRequest, timeout: float | None
    ) -> list[selector_pb2.PredictResponse]:
        """Returns the whole stream of one prediction, beginning again when it breaks."""
        seconds = self._selector.seconds(timeout, LOADING)
        attempts = self._selector.attempts(seconds)
        while True:
            stream = self._selector.responses(_methods.PREDICT, request, max(attempts.remaining(), 0.001))
            try:
                return [response async for response in stream]
            except errors.PrepalError as error:
                await self._selector.wait(attempts, error)
