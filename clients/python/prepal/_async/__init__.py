"""The asynchronous client, and the source of the synchronous one: build_hook.py writes `prepal._sync` from it."""
