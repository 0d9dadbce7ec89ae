"""Paths are cut at slashes, then decoded, then matched, the most literal template first."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.http.paths import MalformedPath, PathTree, decode_segments

segments = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=6)


@given(segments.filter(bool))
def test_any_segments_survive_percent_encoding(parts: list[str]) -> None:
    path = "".join("/" + quote(part, safe="") for part in parts)
    assert decode_segments(path.encode()) == parts


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(path: bytes) -> None:
    try:
        decoded = decode_segments(b"/" + path)
    except MalformedPath:
        return
    assert not any("\0" in segment for segment in decoded)


@given(segments.filter(bool))
def test_a_template_of_parameters_gives_each_segment_its_name(parts: list[str]) -> None:
    tree: PathTree[str] = PathTree()
    tree.add("GET", "".join(f"/{{p{number}}}" for number in range(len(parts))), "here")
    match = tree.find("GET", parts)
    assert match is not None
    assert list(match.parameters.values()) == parts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", [""]),
        (b"/a/b/", ["a", "b", ""]),
        (b"/a//b", ["a", "", "b"]),
        (b"/%21room%3Aserver/a%2Fb", ["!room:server", "a/b"]),
        (b"/a+b", ["a+b"]),
        (b"/%f0%9f%90%88", ["\U0001f408"]),
        ("/\U0001f408".encode(), ["\U0001f408"]),
        (b"/..%2F../x", ["../..", "x"]),
    ],
)
def test_decoding(path: bytes, expected: list[str]) -> None:
    assert decode_segments(path) == expected


@pytest.mark.parametrize(
    "path", [b"/%", b"/%2", b"/%zz", b"/%+1", b"/a%", b"/%ff", b"/\xff", b"/%c3", b"/%00", b"/a\0b", b"*", b"", b"a/b"]
)
def test_what_cannot_be_decoded_is_refused(path: bytes) -> None:
    with pytest.raises(MalformedPath):
        decode_segments(path)


def found(tree: PathTree[str], method: str, path: bytes) -> tuple[str, dict[str, str]] | None:
    match = tree.find(method, decode_segments(path))
    return None if match is None else (match.target, match.parameters)


def state_tree() -> PathTree[str]:
    tree: PathTree[str] = PathTree()
    tree.add("GET", "/rooms/{roomId}/state", "all")
    tree.add("GET", "/rooms/{roomId}/state/{eventType}", "empty key")
    tree.add("GET", "/rooms/{room}/state/{type}/{stateKey}", "one")
    tree.add("PUT", "/rooms/{room}/state/{type}/{stateKey}", "put")
    tree.add("GET", "/rooms/{roomId}/state/literal/{x}", "literal")
    tree.add("GET", "/pushrules/", "rules")
    return tree


def test_parameters_are_named_by_the_template_that_matched() -> None:
    tree = state_tree()
    assert found(tree, "GET", b"/rooms/!a/state") == ("all", {"roomId": "!a"})
    assert found(tree, "GET", b"/rooms/!a/state/m.x") == ("empty key", {"roomId": "!a", "eventType": "m.x"})
    assert found(tree, "PUT", b"/rooms/!a/state/m.x/k") == ("put", {"room": "!a", "type": "m.x", "stateKey": "k"})


def test_a_parameter_may_be_empty() -> None:
    assert found(state_tree(), "GET", b"/rooms/!a/state/m.x/") == ("one", {"room": "!a", "type": "m.x", "stateKey": ""})


def test_no_trailing_slash_is_added_or_dropped() -> None:
    assert found(state_tree(), "GET", b"/pushrules/") == ("rules", {})
    assert found(state_tree(), "GET", b"/pushrules") is None
    assert found(state_tree(), "GET", b"/rooms/!a/state/m.x/k/") is None


def test_a_literal_goes_before_a_parameter_but_does_not_hide_it() -> None:
    tree = state_tree()
    assert found(tree, "GET", b"/rooms/!a/state/literal/1") == ("literal", {"roomId": "!a", "x": "1"})
    match = found(tree, "PUT", b"/rooms/!a/state/literal/1")
    assert match is not None
    assert match[0] == "put"


def test_the_methods_of_a_path_are_those_of_all_templates_that_match() -> None:
    assert state_tree().methods(["rooms", "!a", "state", "literal", "1"]) == {"GET", "PUT"}
    assert state_tree().methods(["elsewhere"]) == set()


def test_a_path_is_declared_once() -> None:
    tree = state_tree()
    with pytest.raises(ValueError, match="twice"):
        tree.add("GET", "/rooms/{x}/state", "again")
