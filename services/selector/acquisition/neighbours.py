"""Nearest neighbours by Euclidean distance, with FAISS."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]


def nearest(queries: Float32, among: Float32, k: int) -> tuple[Float32, Positions]:
    """Returns the k nearest of some vectors to each query, nearest first, found exhaustively.

    On all GPUs where FAISS has any, else on the threads OpenMP has. What FAISS sees has the mean of `among` taken
    off: it finds distances from products, and their rounding grows with the distance from zero.

    Args:
        queries: (n, D), float32, finite.
        among: (m, D), float32, finite; m at least 1.
        k: at least 1.

    Returns:
        Distances, (n, min(k, m)), off by about 3e-4 times the distance from the mean at most, near 0, and by far less
        elsewhere; and positions in `among`, int64, of the same shape. Which of equally near vectors come first is not
        said. Costs 2 n m D operations, and copies of both.
    """
    wanted = min(k, len(among))
    if not len(queries):
        return np.zeros((0, wanted), np.float32), np.zeros((0, wanted), np.int64)
    # float64: a float32 sum of a million rows has lost digits.
    centre = among.mean(axis=0, dtype=np.float64).astype(np.float32)
    queries, among = queries - centre, among - centre
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(among.shape[1]))
        index.add(among)
        squared, positions = index.search(queries, wanted)
    else:
        squared, positions = faiss.knn(queries, among, wanted)
    distances: Float32 = np.sqrt(np.maximum(squared, 0.0))
    return distances, positions
