"""The calls of the SDK."""
