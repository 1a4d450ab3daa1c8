"""How a service listens: flags with environment defaults, checked once."""

from __future__ import annotations

import argparse
import ipaddress
import os
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a service listens and stops.

    Attributes:
        host: the address it binds, loopback unless `allow_any_host`.
        port: 0 to 65535; 0 takes a free one.
        metrics_port: where Prometheus reads /metrics; 0 switches it off.
        max_message_bytes: the largest message taken or sent.
        max_requests: RPCs in flight beyond which new ones are answered RESOURCE_EXHAUSTED.
        drain_seconds: how long running RPCs may go on after SIGTERM.
        allow_any_host: whether a host beyond loopback is accepted although nothing authenticates its callers.
    """

    host: str = "127.0.0.1"
    port: int = 0
    metrics_port: int = 0
    max_message_bytes: int = 64 * MIB
    max_requests: int = 1024
    drain_seconds: float = 20.0
    allow_any_host: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        for name, value in (("port", self.port), ("metrics-port", self.metrics_port)):
            if not 0 <= value <= 65535:
                raise ValueError(f"{name} must be between 0 and 65535, got {value}")
        if self.max_message_bytes < MIB:
            raise ValueError(f"max-message-mib must be at least 1, got {self.max_message_bytes / MIB:g}")
        if self.max_requests < 1:
            raise ValueError(f"max-requests must be at least 1, got {self.max_requests}")
        if self.drain_seconds < 0:
            raise ValueError(f"drain-seconds must be at least 0, got {self.drain_seconds:g}")
        if not self.allow_any_host and not _is_loopback(self.host):
            raise ValueError(
                f"host must be a loopback address, got {self.host!r}: callers are not authenticated; where the network "
                "itself keeps strangers out, say --allow-any-host"
            )


def add_options(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Adds the flags that every service has; `port` is the service's default."""
    group = parser.add_argument_group("serving")
    group.add_argument(
        "--host", default=os.environ.get("PREPAL_HOST", "127.0.0.1"), help="address to bind (%(default)s)"
    )
    group.add_argument("--port", type=int, default=port, help="port to bind; 0 takes a free one (%(default)s)")
    group.add_argument(
        "--metrics-port", type=int, default=0, help="port of Prometheus /metrics; 0 switches it off (%(default)s)"
    )
    group.add_argument("--max-message-mib", type=int, default=64, help="largest message in MiB (%(default)s)")
    group.add_argument("--max-requests", type=int, default=1024, help="RPCs in flight at most (%(default)s)")
    group.add_argument(
        "--drain-seconds", type=float, default=20.0, help="how long RPCs may go on after SIGTERM (%(default)s)"
    )
    group.add_argument(
        "--allow-any-host",
        action="store_true",
        help="accept a --host beyond loopback; callers are not authenticated",
    )


def options_from(arguments: argparse.Namespace) -> Options:
    """Returns the options that `add_options` parsed. Raises ValueError for a value out of range."""
    return Options(
        host=arguments.host,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
        max_message_bytes=arguments.max_message_mib * MIB,
        max_requests=arguments.max_requests,
        drain_seconds=arguments.drain_seconds,
        allow_any_host=arguments.allow_any_host,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
