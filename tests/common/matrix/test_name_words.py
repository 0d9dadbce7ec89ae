"""The words by which users are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.name_words import MAXIMUM_NAME, MAXIMUM_TAILS, MAXIMUM_WORDS, term_words, words_of


def finds(term: str, user_id: str, name: str | None = None) -> bool:
    words = words_of(user_id, name)
    asked = term_words(term)
    return bool(asked) and all(any(word.startswith(beginning) for word in words) for beginning in asked)


@pytest.mark.parametrize(
    "term", ["ali", "ALICE", "sm", "alice smith", "smith alice", "@alice", "@alice:exa", "ålice", "irc", "bot-1"]
)
def test_beginnings_of_words_find_whatever_their_case_and_accents(term: str) -> None:
    assert finds(term, "@irc_bot-1:example.org", "Alice Smith") or finds(term, "@alice:example.org", "Álice Smith")


@pytest.mark.parametrize("term", ["", " ", "!", "@", "lice", "example", "alice jones", "@smith", "@ alice x"])
def test_what_does_not_find(term: str) -> None:
    assert not finds(term, "@alice:example.org", "Smith")


def test_names_without_spaces_are_found_from_within() -> None:
    assert finds("太郎", "@t:x", "田中太郎")
    assert len(words_of("@t:x", "田" * 90)) <= MAXIMUM_TAILS + 3


def test_a_name_is_optional_and_everything_is_bounded() -> None:
    assert words_of("@alice:x", None) == ["@alice:x", "alice"]
    assert len(term_words(" ".join(f"w{number}" for number in range(50)))) == MAXIMUM_WORDS
    assert max(map(len, words_of("@a:x", "y" * 10_000))) == MAXIMUM_NAME


@given(st.text(max_size=40))
def test_no_word_has_space_and_whoever_is_named_is_found_by_his_name(name: str) -> None:
    words = words_of("@alice:x", name)
    assert all(word and not any(character.isspace() for character in word) for word in words)
    if not name.strip().startswith("@") and term_words(name):
        assert finds(name, "@alice:x", name)
