"""A project's state in Redis."""

from services.selector.state.connection import connect
from services.selector.state.heads import RedisHeads
from services.selector.state.labels import RedisLabels
from services.selector.state.log import RedisLog
from services.selector.state.projects import RedisProjects
from services.selector.state.reservations import RedisReservations
from services.selector.state.signals import RedisSignals

__all__ = ["RedisHeads", "RedisLabels", "RedisLog", "RedisProjects", "RedisReservations", "RedisSignals", "connect"]
