"""Paths into events: dots and their escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.property_paths import ABSENT, look_up, split


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", "m\\foo")),
        (r"content.\x", ("content", "\\x")),
        ("trailing\\", ("trailing\\",)),
        (r"a\\.b", ("a\\", "b")),
        ("", ("",)),
        (".", ("", "")),
        ("line\nbreak.b", ("line\nbreak", "b")),
    ],
)
def test_the_examples_of_the_specification_and_the_edges(path: str, names: tuple[str, ...]) -> None:
    assert split(path) == names


@given(st.lists(st.text(alphabet="ab.\\\n", max_size=4), min_size=1, max_size=4))
def test_escaped_names_come_back(names: list[str]) -> None:
    path = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)
    assert split(path) == tuple(names)


def test_look_up_enters_objects_only() -> None:
    event = {"content": {"a": None, "list": [{"b": 1}], "text": "x"}}
    assert look_up(event, ("content", "a")) is None
    assert look_up(event, ("content", "list", "b")) is ABSENT
    assert look_up(event, ("content", "text", "b")) is ABSENT
    assert look_up(event, ("content", "missing")) is ABSENT
    assert look_up(event, ("content",)) is event["content"]
