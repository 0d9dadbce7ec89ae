"""Logs: one event a line on standard error, as text for people or JSON for collectors, without secrets.

Modules log through `twisted.logger.Logger` with named fields (`log.info("… {room_id}", room_id=…)`); a request's id is
such a field, passed where it is known. What other libraries write through `logging` comes out here as well.
"""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, Final, cast

import orjson
from twisted.internet.protocol import Factory
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from hs_common.process.request_id import CURRENT_REQUEST_ID

_SECRET_FIELD: Final = re.compile(r"password|secret|token|authorization|cookie|signing_key|private_key", re.IGNORECASE)
_PUBLIC_FIELDS: Final = frozenset(("token_hash", "token_count"))
_SECRET_TEXT: Final = re.compile(
    r"""(?ix)
    ( bearer \s+
    | (?: access_token | refresh_token | password | secret | macaroon | loginToken | \btoken ) ["']? \s* [=:] \s* ["']?
    | [a-z+]+ :// [^/\s:@]* :            # user:password@ of a database's or Redis' URL
    )
    ( [^\s"'&,;@}]+ )
    """
)
HIDDEN: Final = "<hidden>"
_STANDARD_FIELDS: Final = frozenset(("time", "level", "namespace", "request", "text", "failure"))


def without_secrets(text: str) -> str:
    """The text with what looks like a token or a password replaced. The second line of defence: no module logs them,
    but exceptions quote what they were given."""
    return _SECRET_TEXT.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    prefix, secret = found.group(1), found.group(2)
    if prefix.endswith(":") and "://" in prefix and found.string[found.end() : found.end() + 1] != "@":
        return found.group(0)  # the port of a URL, not a password
    return prefix + (HIDDEN if secret != HIDDEN else secret)


def text_line(event: dict[str, Any]) -> str:
    """An event for people: time, level, where from, what."""
    failure = event.get("log_failure")
    request_id = CURRENT_REQUEST_ID.get()
    place = f"{event.get('log_namespace', '-')}{' ' if request_id else ''}{request_id}"
    line = f"{_time(event)} {_level(event):<8} [{place}] {formatEvent(event)}"
    # A line break in what a client sent must not look like a line of ours.
    line = line.replace("\r", "\\r").replace("\n", "\\n")
    return without_secrets(f"{line}\n{failure.getTraceback()}" if isinstance(failure, Failure) else line) + "\n"


def json_line(event: dict[str, Any]) -> str:
    """An event for collectors: an object with time, level, namespace, text, failure, and the event's own fields."""
    line: dict[str, Any] = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", "-"),
        "text": without_secrets(formatEvent(event)),
    }
    if CURRENT_REQUEST_ID.get():
        line["request"] = CURRENT_REQUEST_ID.get()
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["failure"] = without_secrets(failure.getTraceback())
    for name, value in event.items():
        if not name.startswith("log_") and name not in _STANDARD_FIELDS:
            line[name] = _field(name, value)
    return orjson.dumps(line).decode("utf-8") + "\n"


def _field(name: str, value: object) -> object:
    if _SECRET_FIELD.search(name) and name not in _PUBLIC_FIELDS:
        return HIDDEN
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    return without_secrets(str(value)).encode("utf-8", "replace").decode("utf-8")


def _time(event: dict[str, Any]) -> str:
    return datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds")


def _level(event: dict[str, Any]) -> str:
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


FORMATS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {"text": text_line, "json": json_line}
Observer = Callable[[dict[str, Any]], None]
_LEVELS: Final = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
}


def observer(out: IO[str], level: str, line_format: str) -> Observer:
    """An observer that writes lines of the format (`text` or `json`) for events of at least the level."""
    to_line = FORMATS[line_format]

    def write(event: dict[str, Any]) -> None:
        out.write(to_line(event))
        out.flush()

    predicate = LogLevelFilterPredicate(defaultLogLevel=_LEVELS[level])
    directlyProvides(write, ILogObserver)
    filtering: Any = FilteringLogObserver(cast(Any, write), [cast(Any, predicate)])
    return cast(Observer, filtering)


def begin_logging(out: IO[str], level: str, line_format: str) -> None:
    """Sends all logs of this process to `out`. Once, before the reactor runs."""
    Factory.noisy = False  # twisted says of each factory that it starts, which tells nobody anything
    lines = observer(out, level, line_format)
    globalLogBeginner.beginLoggingTo([cast(Any, lines)], redirectStandardIO=False)
    logging.basicConfig(level=logging.WARNING, handlers=[_FromLogging(lines)], force=True)


class _FromLogging(logging.Handler):
    """Events of Python's `logging` as events of ours."""

    def __init__(self, lines: Observer) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        level = LogLevel.error if record.levelno >= logging.ERROR else LogLevel.warn
        self._lines(
            {
                "log_time": record.created,
                "log_level": level,
                "log_namespace": record.name,
                "log_format": "{text}",
                "text": record.getMessage(),
            }
        )
