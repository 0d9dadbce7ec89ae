"""Which files are shown in place, under which names and types."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_workers.media.disposition import UNKNOWN_TYPE, content_disposition, essence, kept_content_type


@pytest.mark.parametrize("good", ["image/png", "text/plain; charset=utf-8", 'a/b; x="y z"; w=1', "application/ld+json"])
def test_media_types_are_kept(good: str) -> None:
    assert kept_content_type(f" {good} ") == good


@pytest.mark.parametrize(
    "bad", [None, "", "image", "image/", "a/b c", "a/b\r\nX: y", "a/é", "a/" + "b" * 300, "a/b; x"]
)
def test_what_is_no_media_type_is_not(bad: str | None) -> None:
    assert kept_content_type(bad) == UNKNOWN_TYPE


@pytest.mark.parametrize(
    "unsafe", ["text/html", "image/svg+xml", "application/pdf", "application/xhtml+xml", "text/xml"]
)
def test_what_can_run_scripts_is_an_attachment(unsafe: str) -> None:
    assert content_disposition(unsafe, None) == "attachment"
    assert content_disposition(f"{unsafe}; charset=image/png", "a.png").startswith("attachment;")


def test_safe_types_are_inline_whatever_their_case_and_parameters() -> None:
    assert content_disposition("IMAGE/PNG; x=y", None) == "inline"
    assert essence(" Text/Plain ;charset=utf-8") == "text/plain"


def test_names() -> None:
    assert content_disposition("image/png", "a b.png") == 'inline; filename="a b.png"'
    assert content_disposition("image/png", 'a"b') == "inline; filename*=UTF-8''a%22b"
    assert content_disposition("image/png", "ä/\n") == "inline; filename*=UTF-8''%C3%A4%2F%0A"
    assert content_disposition("image/png", "") == "inline"


@given(st.text())
def test_no_name_ends_the_header(name: str) -> None:
    header = content_disposition("image/png", name)
    assert header.isascii()
    assert header.isprintable()
    assert re.fullmatch(r"inline(; filename=\"[^\"\\]*\"|; filename\*=UTF-8''[^;\" ]*)?", header)
