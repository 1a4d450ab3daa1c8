"""The gRPC shell every service shares."""
