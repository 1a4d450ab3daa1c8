"""Scoring pools: what acquisition functions see of a pool in memory, computed in passes and kept."""

from services.selector.scoring.products import Products
from services.selector.scoring.shelf import Shelf
from services.selector.scoring.similarity import Similarity
from services.selector.scoring.view import PoolView, Seen, mean_squared_norm, pool_embeddings

__all__ = ["PoolView", "Products", "Seen", "Shelf", "Similarity", "mean_squared_norm", "pool_embeddings"]
