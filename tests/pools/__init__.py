"""Tests of the pool store."""
