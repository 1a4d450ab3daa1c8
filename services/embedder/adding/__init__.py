"""From a client's chunks to durable items, each acknowledged or rejected with its reason."""
