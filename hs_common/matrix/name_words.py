"""The words by which a user is found: of the user id and the display name, without regard to case and accents. Pure.

A user is found by the beginnings of words. Where words are not written apart (Chinese, Japanese, Thai …), a word is
also found from each of its characters on.

Spec: client-server API, #user-directory.
"""

import re
import unicodedata
from typing import Final

from hs_common.matrix.identifiers import localpart_of

MAXIMUM_NAME: Final = 100
"""Characters of a display name that are looked at."""
MAXIMUM_WORDS: Final = 8
"""Words of a search term."""
MAXIMUM_TAILS: Final = 24
"""Characters of an unspaced name from which it is found."""
_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def plain(text: str) -> str:
    """The text without case, accents and variants of characters."""
    parts = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", "".join(part for part in parts if not unicodedata.combining(part)))


def words_of(user_id: str, display_name: str | None) -> list[str]:
    """The words of a user; the whole user id is one of them, with its sigil."""
    name = plain((display_name or "")[:MAXIMUM_NAME])
    found = [*_WORD.findall(plain(localpart_of(user_id))), *_WORD.findall(name)]
    tails = [word[start:] for word in found if _UNSPACED.search(word) for start in range(1, len(word))]
    whole = "".join(character for character in plain(user_id) if not character.isspace())
    return list(dict.fromkeys([whole, *found, *tails[:MAXIMUM_TAILS]]))


def term_words(term: str) -> list[str]:
    """The beginnings of words that a search term asks for, all of them at once; a user id is one word."""
    text = plain(term[:MAXIMUM_NAME].strip())
    if text.startswith("@") and len(text) > 1 and not any(character.isspace() for character in text):
        return [text]
    return list(dict.fromkeys(_WORD.findall(text)))[:MAXIMUM_WORDS]
