"""What the selector measures beside what the shell measures of every RPC."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

FIT_SECONDS = Histogram("prepal_selector_fit_seconds", "Seconds that fitting a head took.", buckets=_BUCKETS)
PART_SECONDS = Histogram(
    "prepal_selector_select_part_seconds", "Seconds that a part of Select took.", ["part"], buckets=_BUCKETS
)
SELECTED = Counter("prepal_selector_selected_items_total", "Items handed out.", ["acquisition"])
RECORDED = Counter("prepal_selector_recorded_entries_total", "Entries of RecordLabels that changed something.")
COLLISIONS = Counter(
    "prepal_selector_collisions_total", "Times a Select chose again because other replicas took what it chose."
)
