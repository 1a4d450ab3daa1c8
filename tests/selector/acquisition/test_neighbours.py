"""Nearest neighbours against every distance written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from services.selector.acquisition.neighbours import nearest


@pytest.mark.parametrize(("queries", "among", "k"), [(1, 1, 1), (3, 50, 4), (200, 300, 7), (40, 5, 9)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_nearest_are_those_of_all_distances(queries: int, among: int, k: int, offset: float) -> None:
    generator = np.random.default_rng(queries)
    x = (generator.standard_normal((queries, 12)) + offset).astype(np.float32)
    y = (generator.standard_normal((among, 12)) + offset).astype(np.float32)
    distances, positions = nearest(x, y, k)
    exact = cdist(x.astype(np.float64), y.astype(np.float64))
    assert distances.shape == positions.shape == (queries, min(k, among))
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :k], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, positions, axis=1), distances, rtol=1e-5)


def test_inputs_stay_as_they_are() -> None:
    x = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    before = x.copy()
    nearest(x, x, 3)
    np.testing.assert_array_equal(x, before)


def test_equal_vectors_are_at_distance_zero() -> None:
    x = np.full((50, 8), 0.3, np.float32)
    distances, positions = nearest(x, x, 5)
    np.testing.assert_array_equal(distances, np.zeros((50, 5)))
    assert all(len(set(row)) == 5 for row in positions.tolist())


def test_no_query_has_no_neighbours() -> None:
    distances, positions = nearest(np.zeros((0, 3), np.float32), np.zeros((4, 3), np.float32), 2)
    assert distances.shape == positions.shape == (0, 2)
