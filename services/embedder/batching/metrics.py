"""What the batches look like from outside."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

QUEUE_TOKENS = Gauge("prepal_embedder_queue_tokens", "Tokens of sequences that wait for a forward pass.", ["lane"])
TEXTS = Counter("prepal_embedder_texts_total", "Sequences embedded, as callers count them.")
TOKENS = Counter("prepal_embedder_tokens_total", "Tokens that went through a backbone, padding left out.")
PADDING = Counter("prepal_embedder_padding_tokens_total", "Padding that went through a backbone.")
REPEATED = Counter("prepal_embedder_repeated_texts_total", "Sequences answered by the forward pass of an equal one.")
DROPPED = Counter(
    "prepal_embedder_dropped_texts_total",
    "Sequences dropped before their forward pass because nobody waits for them.",
    ["why"],
)
FAILED = Counter("prepal_embedder_failed_texts_total", "Sequences that the backbone could not embed.")
TOKENIZE_SECONDS = Counter("prepal_embedder_tokenize_seconds_total", "Seconds of threads that tokenised.")
FORWARD_SECONDS = Counter("prepal_embedder_forward_seconds_total", "Seconds of workers inside forward passes.")
BATCH_ROWS = Histogram(
    "prepal_embedder_batch_rows", "Sequences of a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
)
BATCH_TOKENS = Histogram(
    "prepal_embedder_batch_tokens",
    "Tokens of a batch, padding included.",
    buckets=(16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536),
)
