"""Scoring pools: from embeddings in memory to probabilities and scores of every row."""

from services.selector.scoring.products import Products
from services.selector.scoring.scores import PoolScores

__all__ = ["PoolScores", "Products"]
