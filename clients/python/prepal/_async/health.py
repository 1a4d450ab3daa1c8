"""Asking a service for its health."""

from __future__ import annotations

from prepal import errors
from prepal._async.connection import Connection
from prepal._health import CHECK, Health, health_from_message, health_request


async def health_of(connection: Connection, timeout: float) -> Health:
    """Returns whether a service can serve now, asking once."""
    try:
        response = await connection.call_once(CHECK, health_request(connection.service), timeout)
    except errors.PrepalError as error:
        return Health(service=connection.service, address=connection.address, serving=False, detail=str(error))
    return health_from_message(connection.service, connection.address, response)
