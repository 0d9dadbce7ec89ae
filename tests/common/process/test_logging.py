"""One event a line, structured, and without secrets."""

import io
import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from hs_common.process.logging import HIDDEN, json_line, observer, text_line, without_secrets


def event(log_format: str, **fields: Any) -> dict[str, Any]:
    base = {"log_time": 0.0, "log_level": LogLevel.info, "log_namespace": "hs.test", "log_format": log_format}
    return {**base, **fields}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2",
        "GET /sync?access_token=hunter2&since=s1",
        '{"access_token": "hunter2"}',
        '{"password":"hunter2","user":"a"}',
        "password=hunter2 host=localhost",
        "could not connect to postgresql://viaduct:hunter2@db:5432/viaduct",
        "redis://:hunter2@redis:6379/0",
        "refresh_token: hunter2",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    hidden = without_secrets(text)
    assert "hunter2" not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8008/_matrix/client/v3/sync?since=s12_3_4",
        "redis://redis:6379/0 is away",
        "tokens: 3",
        "Listening on 127.0.0.1:8008",
        "@alice:example.org joined !room:example.org",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_text_is_one_line_whatever_a_client_sent() -> None:
    line = text_line(event("{path}", path="/a\nERROR forged\r\n"))
    assert line.count("\n") == 1
    assert line == "1970-01-01T00:00:00.000+00:00 info     [hs.test] /a\\nERROR forged\\r\\n\n"


def test_json_has_the_fields_of_the_event() -> None:
    line = orjson.loads(json_line(event("{user_id} sent {count}", user_id="@a:b", count=3, big=1 << 70, none=None)))
    assert line == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "namespace": "hs.test",
        "text": "@a:b sent 3",
        "user_id": "@a:b",
        "count": 3,
        "big": str(1 << 70),
        "none": None,
    }


def test_fields_that_are_secrets_by_name_are_hidden() -> None:
    line = orjson.loads(json_line(event("x", access_token="hunter2", password="hunter2", token_count=2)))
    assert (line["access_token"], line["password"], line["token_count"]) == (HIDDEN, HIDDEN, 2)


def failed() -> Failure:
    try:
        raise ValueError("access_token=hunter2")
    except ValueError:
        return Failure()


@pytest.mark.parametrize("to_line", [text_line, json_line])
def test_a_traceback_is_kept_without_its_secrets(to_line: Any) -> None:
    line = to_line(event("broken", log_failure=failed()))
    assert "ValueError" in line
    assert "hunter2" not in line


@given(st.text(), st.text())
def test_any_field_can_be_written(name: str, value: str) -> None:
    fields = event("{x}", x=value, **{f"f{name}": value})
    assert orjson.loads(json_line(fields))["namespace"] == "hs.test"
    assert text_line(fields).count("\n") == 1


def test_levels_below_the_configured_one_are_not_written() -> None:
    out = io.StringIO()
    log = Logger("hs.test", observer=observer(out, "warning", "json"))  # type: ignore[arg-type]
    log.info("quiet")
    log.warn("loud {n}", n=1)
    assert [orjson.loads(line)["text"] for line in out.getvalue().splitlines()] == ["loud 1"]


def test_the_process_logs_to_one_place_libraries_included() -> None:
    program = """
import logging, sys
from twisted.logger import Logger
from hs_common.process.logging import begin_logging
begin_logging(sys.stderr, "info", "json")
Logger("ours").info("started {port}", port=8008)
logging.getLogger("library").warning("password=%s", "hunter2")
logging.getLogger("library").info("chatter")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    lines = [orjson.loads(line) for line in ended.stderr.splitlines()]
    assert [(line["namespace"], line["level"], line["text"]) for line in lines] == [
        ("ours", "info", "started 8008"),
        ("library", "warn", f"password={HIDDEN}"),
    ]
