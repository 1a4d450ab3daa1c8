"""Tests of the selector."""
