"""The items nearest to a vector."""
