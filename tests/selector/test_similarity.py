"""Near-duplicates: cosines against numpy, and answers without them."""

from __future__ import annotations

import numpy as np
import pytest

from services.selector.acquisition import DEFAULTS, REGISTRY, parameters_from
from services.selector.choosing import Choice, Choosing, Situation
from services.selector.heads import LogisticSettings
from services.selector.project import Project
from services.selector.scoring import Shelf, Similarity
from services.selector.stores import StoredHead
from tests.selector.acquisition.views import PRODUCTS, Matrix, clustered, fitted, view_of

ROWS = 400


def cosines(embeddings: np.ndarray) -> np.ndarray:
    values = embeddings.astype(np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    directions = values / np.where(norms > 0, norms, 1)
    return directions @ directions.T


def with_duplicates() -> np.ndarray:
    """Every fourth row is that of the row before it, and one row is zero."""
    embeddings, _ = clustered(ROWS, 8, 2)
    embeddings[3::4] = embeddings[2::4]
    embeddings[9] = 0
    return embeddings


def test_cosines_to_labeled_rows_are_kept_extended_and_forgotten_rightly() -> None:
    embeddings, shelf = with_duplicates(), Shelf(1 << 30)
    among = cosines(embeddings)
    for rows, labeled in ((300, [2]), (300, [2, 5, 60]), (300, [2, 60]), (ROWS, [2, 60, 301]), (ROWS, [])):
        found = Similarity(view_of(embeddings[:rows], labeled=labeled, shelf=shelf)).to_labeled()
        expected = among[:rows][:, labeled].max(axis=1) if labeled else np.full(rows, -1.0)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def choose(embeddings: np.ndarray, name: str, k: int, limit: float | None, **fields: object) -> np.ndarray:
    numbers = np.arange(len(embeddings)) % 2
    labeled = np.arange(20)
    head = fitted(embeddings, labeled, numbers[labeled])
    choice = Choice(
        function=REGISTRY[name],
        cold_start=False,
        head=StoredHead(version=1, label_version=1, basis="", head=head),
        seed=4,
        parameters=parameters_from(fields) if fields else DEFAULTS,
        max_similarity=limit,
    )
    project = Project(
        name="p", pool="pool", labels=head.labels, acquisition=name, cold_start="RANDOM", reservation_ms=0,
        head=LogisticSettings(), parameters={}, fingerprint="", created_ms=0,
    )  # fmt: skip
    free = np.ones(len(embeddings), np.bool_)
    free[labeled] = False
    situation = Situation(
        free=free, labeled=labeled, labels=tuple(head.labels[n] for n in numbers[labeled]), reserved=np.array([40, 41])
    )
    free[[40, 41]] = False
    choosing = Choosing(PRODUCTS, Shelf(1 << 30))
    picks = choosing.choose(choosing.view(project, "uid", Matrix(embeddings), choice.head, situation), choice, k)
    assert len(picks.rows) == len(picks.scores) == len(set(picks.rows.tolist()))
    assert free[picks.rows].all()
    return picks.rows


@pytest.mark.parametrize("name", sorted(REGISTRY))
@pytest.mark.parametrize("limit", [1.0, 0.9])
def test_no_answer_holds_items_too_similar_to_one_another_or_to_labeled_and_reserved_ones(
    name: str, limit: float
) -> None:
    embeddings = with_duplicates()
    among = cosines(embeddings)
    rows = choose(embeddings, name, 30, limit)
    assert len(rows) == 30
    tolerance = 1e-5
    taken = [*range(20), 40, 41]
    assert (among[np.ix_(rows, taken)] < limit + tolerance).all()
    mutual = among[np.ix_(rows, rows)] - 2 * np.eye(len(rows))
    assert (mutual < limit - tolerance if limit == 1.0 else mutual < limit + tolerance).all()


def test_fewer_come_back_when_the_rest_is_too_similar() -> None:
    embeddings = np.repeat(clustered(40, 8, 2)[0], 10, axis=0)
    assert len(choose(embeddings, "MARGIN", 100, None)) == 100
    # Rows 0 to 19 are labeled and 40 and 41 reserved: all of the first, second and fifth ten are their duplicates.
    assert len(choose(embeddings, "MARGIN", 100, 1.0)) == 37


def test_a_sub_pool_is_drawn_by_the_seed_and_is_all_that_is_looked_at() -> None:
    embeddings, _ = clustered(ROWS, 8, 2)
    whole = choose(embeddings, "RANDOM", ROWS, None)
    assert len(whole) == ROWS - 22
    part = choose(embeddings, "RANDOM", ROWS, None, sub_pool=25)
    assert len(part) == 25
    np.testing.assert_array_equal(part, choose(embeddings, "RANDOM", ROWS, None, sub_pool=25))
    assert set(choose(embeddings, "MAX_ENTROPY", 10, None, sub_pool=25).tolist()) <= set(part.tolist())
