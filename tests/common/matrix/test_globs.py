"""Globs: whole words and whole values, case, and no backtracking."""

import fnmatch
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import globs

_PATTERNS = st.text(alphabet="ab _*?", max_size=7)
_TEXTS = st.text(alphabet="abB _-é", max_size=10)


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern),
        re.IGNORECASE | re.DOTALL,
    )


@given(_PATTERNS, _TEXTS)
def test_whole_means_what_the_specification_says(pattern: str, text: str) -> None:
    assert globs.whole(pattern)(text) == (_regex(pattern).fullmatch(text) is not None)


@given(_PATTERNS, _TEXTS)
def test_words_means_some_part_between_word_boundaries(pattern: str, text: str) -> None:
    """Read literally: try every substring that starts and ends at a boundary."""
    starts = [i for i in range(len(text) + 1) if i == 0 or not _is_word(text[i - 1])]
    ends = [i for i in range(len(text) + 1) if i == len(text) or not _is_word(text[i])]
    regex = _regex(pattern)
    expected = any(regex.fullmatch(text[start:end]) for start in starts for end in ends if start <= end)
    assert globs.words(pattern)(text) == expected


@given(st.text(alphabet="aB.*", max_size=6), st.text(alphabet="aAB.*", max_size=8))
def test_wildcard_knows_only_the_star_and_the_case(pattern: str, text: str) -> None:
    assert globs.wildcard(pattern)(text) == fnmatch.fnmatchcase(text, pattern)


def test_wildcard_takes_the_question_mark_literally() -> None:
    assert globs.wildcard("a?*")("a?b")
    assert not globs.wildcard("a?")("ab")


@pytest.mark.parametrize("body", ["An example event.", "exple", "An exciting triple-whammy"])
def test_examples_of_the_specification_for_the_body(body: str) -> None:
    assert globs.words("ex*ple")(body)


@pytest.mark.parametrize(
    ("topic", "matches"),
    [("Lunch plans", True), ("LUNCH", True), (" lunch", False), ("lunc", False)],
)
def test_examples_of_the_specification_for_other_properties(topic: str, matches: bool) -> None:
    assert globs.whole("lunc?*")(topic) is matches


@pytest.mark.parametrize("test", [globs.whole, globs.words, globs.wildcard])
def test_the_pieces_of_a_pattern_do_not_overlap(test: Callable[[str], globs.TextTest]) -> None:
    assert not test("a*a")("a")
    assert not test("ab*ba")("aba")
    assert test("ab*ba")("abba")


def test_word_characters_are_ascii_even_though_case_is_ignored() -> None:
    # U+017F folds to "s", but it is no word character.
    assert globs.words("cat")("cat\u017f")
    assert not globs.words("cat")("cats")


def test_a_phrase_is_taken_literally() -> None:
    assert globs.literal_words("A.*?b")("say a.*?B!")
    assert not globs.literal_words("A.*")("say abc")
    assert not globs.literal_words("bob")("bobby")


def test_a_hostile_pattern_is_answered_without_backtracking() -> None:
    """With a regular expression of as many `.*` this would not end."""
    assert not globs.whole("*a" * 100 + "*b")("a" * 20_000)
