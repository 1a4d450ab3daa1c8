"""From texts of many callers to batches of tokens, and back to each caller's vectors."""
