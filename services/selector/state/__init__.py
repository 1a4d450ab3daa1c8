"""A project's state in Redis."""

from services.selector.state.connection import connect
from services.selector.state.heads import RedisHeads
from services.selector.state.labels import RedisLabels
from services.selector.state.log import RedisLog
from services.selector.state.projects import RedisProjects
from services.selector.state.reservations import RedisReservations

__all__ = ["RedisHeads", "RedisLabels", "RedisLog", "RedisProjects", "RedisReservations", "connect"]
