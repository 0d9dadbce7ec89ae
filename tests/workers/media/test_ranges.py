"""Parts of a body, against a plain reading of RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_workers.media.ranges import Part, Unsatisfiable, matches, wanted_part

numbers = st.integers(0, 40)


def served(header: str | None, body: bytes) -> bytes | None:
    """The bytes that would be sent; None for 416."""
    try:
        part = wanted_part(header, len(body))
    except Unsatisfiable:
        return None
    return body if part is None else body[part.first : part.first + part.length]


@given(st.binary(max_size=30), numbers, st.none() | numbers)
def test_from_one_byte_to_another(body: bytes, first: int, last: int | None) -> None:
    header = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        expected: bytes | None = body  # malformed: ignored
    elif first >= len(body):
        expected = None
    else:
        expected = body[first:] if last is None else body[first : last + 1]
    assert served(header, body) == expected


@given(st.binary(max_size=30), numbers)
def test_the_last_bytes(body: bytes, count: int) -> None:
    assert served(f"bytes=-{count}", body) == (body[-count:] if count and body else None)


@given(st.text(max_size=20) | st.from_regex(r"bytes=[0-9, -]*", fullmatch=True), st.integers(0, 30))
def test_anything_is_a_part_of_the_body_or_all_of_it_or_refused(header: str, size: int) -> None:
    try:
        part = wanted_part(header, size)
    except Unsatisfiable:
        return
    if part is not None:
        assert part.first >= 0
        assert part.length > 0
        assert part.first + part.length <= size


@given(st.binary(min_size=1, max_size=30), st.integers(1, 10))
def test_parts_in_a_row_are_the_whole(body: bytes, step: int) -> None:
    parts = [served(f"bytes={first}-{first + step - 1}", body) for first in range(0, len(body), step)]
    assert b"".join(part or b"" for part in parts) == body


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=a-b"])
def test_what_is_no_single_range_is_ignored(header: str | None) -> None:
    assert wanted_part(header, 10) is None


def test_digits_are_the_ascii_ones_and_not_too_many() -> None:
    assert wanted_part("bytes=٣-٤", 10) is None
    assert wanted_part(f"bytes={'9' * 5000}-", 10) is None
    assert wanted_part("Bytes=1-2", 10) == Part(1, 2)


def test_entity_tags() -> None:
    assert matches('"a"', '"a"')
    assert matches('"b", W/"a"', '"a"')
    assert matches("*", '"a"')
    assert not matches('"b"', '"a"')
    assert not matches("", '"a"')
