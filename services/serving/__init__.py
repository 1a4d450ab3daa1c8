"""The gRPC shell every service shares: start, health, reflection, errors, metrics, logs, drain."""

from services.serving.checks import Checks, shown
from services.serving.errors import Answer, ErrorTable, InvalidRequest, Overloaded, Violation
from services.serving.interceptor import REQUEST_ID_KEY
from services.serving.logs import REQUEST_ID, log_as_json
from services.serving.options import Options, add_options, options_from
from services.serving.pages import page, page_size, page_start, page_token
from services.serving.server import CannotListen, Service, run, running

__all__ = [
    "REQUEST_ID",
    "REQUEST_ID_KEY",
    "Answer",
    "CannotListen",
    "Checks",
    "ErrorTable",
    "InvalidRequest",
    "Options",
    "Overloaded",
    "Service",
    "Violation",
    "add_options",
    "log_as_json",
    "options_from",
    "page",
    "page_size",
    "page_start",
    "page_token",
    "run",
    "running",
    "shown",
]
