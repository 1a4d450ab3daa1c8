"""What becomes of items, and how long the store takes."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

ITEMS = Counter("prepal_embedder_items_total", "Items of acknowledged chunks.", ["outcome"])
CHECK_SECONDS = Counter("prepal_embedder_check_seconds_total", "Seconds of threads that checked items.")
COMMIT_SECONDS = Histogram(
    "prepal_embedder_commit_seconds",
    "Seconds in which a group of chunks became durable.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
