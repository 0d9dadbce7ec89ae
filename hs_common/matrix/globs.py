"""Glob-style matching in time linear in the text for each piece of the pattern, whatever pattern a user wrote.

A pattern is cut at its stars into pieces of fixed length. Taking the leftmost place for each piece in turn is optimal,
since pieces never change length; so nothing is ever tried twice, unlike a regular expression with several `.*`.

Spec: appendices, #glob-style-matching; client-server API, #conditions-1 (word boundaries of `content.body`).
"""

import re
from collections.abc import Callable
from functools import lru_cache

TextTest = Callable[[str], bool]

# A word boundary is the start or end of the text or a character outside this ASCII set. Case is not ignored here: with
# re.IGNORECASE the set would also contain U+017F and U+212A.
_WORD = "(?-i:[A-Za-z0-9_])"
_NO_WORD_BEFORE = f"(?<!{_WORD})"
_NO_WORD_AFTER = f"(?!{_WORD})"

# Compiled patterns kept: rules and filters repeat among the readers of a room.
_CACHE_SIZE = 4096


@lru_cache(_CACHE_SIZE)
def whole(pattern: str) -> TextTest:
    """Whether all of a text matches a glob (`*`, `?`), ignoring case."""
    return _compile(pattern, r"\A", r"\Z", re.IGNORECASE, question_mark=True)


@lru_cache(_CACHE_SIZE)
def words(pattern: str) -> TextTest:
    """Whether some part of a text that starts and ends at a word boundary matches a glob (`*`, `?`), ignoring case."""
    return _compile(pattern, _NO_WORD_BEFORE, _NO_WORD_AFTER, re.IGNORECASE, question_mark=True)


@lru_cache(_CACHE_SIZE)
def literal_words(phrase: str) -> TextTest:
    """Whether a text contains a phrase between word boundaries, ignoring case. Nothing in the phrase is special."""
    found = re.compile(_NO_WORD_BEFORE + re.escape(phrase) + _NO_WORD_AFTER, re.IGNORECASE)
    return lambda text: found.search(text) is not None


@lru_cache(_CACHE_SIZE)
def wildcard(pattern: str) -> TextTest:
    """Whether all of a text matches a pattern in which only `*` is special, with regard to case (filters' types)."""
    return _compile(pattern, r"\A", r"\Z", 0, question_mark=False)


def _compile(pattern: str, before: str, after: str, flags: int, *, question_mark: bool) -> TextTest:
    pieces = [_escape(piece, question_mark) for piece in re.split(r"\*+", pattern)]
    pieces[0] = before + pieces[0]
    pieces[-1] += after
    compiled = [re.compile(piece, flags | re.DOTALL) for piece in pieces]
    if len(compiled) == 1:
        return lambda text: compiled[0].search(text) is not None
    return lambda text: _in_order(compiled, text)


def _in_order(pieces: list[re.Pattern[str]], text: str) -> bool:
    position = 0
    for piece in pieces:
        found = piece.search(text, position)
        if found is None:
            return False
        position = found.end()
    return True


def _escape(piece: str, question_mark: bool) -> str:
    return "".join("." if question_mark and character == "?" else re.escape(character) for character in piece)
