"""How channels to the services are set up, the same for both clients."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Final

from prepal._methods import EMBEDDER, SELECTOR, TRAINER

DEFAULT_ADDRESSES: Final = {
    "embedder": ("PREPAL_EMBEDDER", "localhost:50051"),
    "selector": ("PREPAL_SELECTOR", "localhost:50052"),
    "trainer": ("PREPAL_TRAINER", "localhost:50053"),
}

_MIB = 2**20

# gRPC tries again by itself what never reached a service, or was answered UNAVAILABLE. That is safe because every RPC
# of the contract can be repeated; what changes something carries a request id.
_SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": service} for service in (EMBEDDER, SELECTOR, TRAINER)],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def address_of(service: str, given: str | None) -> str:
    """Returns where a service is: what was given, else its environment variable, else localhost and its port.

    Args:
        service: "embedder", "selector" or "trainer".
        given: "host:port", or any target that gRPC knows ("dns:///..."); None for the default.
    """
    variable, default = DEFAULT_ADDRESSES[service]
    return given or os.environ.get(variable) or default


def channel_options(address: str) -> Sequence[tuple[str, str | int]]:
    """Returns the options of a channel to an address."""
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_send_message_length", 256 * _MIB),
        ("grpc.max_receive_message_length", 256 * _MIB),
        # A peer that vanished without closing is noticed within 80 seconds.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A service that restarts is found again at once, not after gRPC's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]
    host = address.rpartition(":")[0].strip("[]")
    if host in ("localhost", "::1") or host.startswith("127."):
        # An HTTP proxy of the environment cannot reach this machine's own ports.
        options.append(("grpc.enable_http_proxy", 0))
    return options
