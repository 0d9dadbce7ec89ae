"""What people of the benchmark say: some words of a thousand, of which each is as frequent as the others. Pure."""

import random
from typing import Final

_SYLLABLES: Final = ("ba", "do", "ke", "li", "mu", "na", "po", "ri", "su", "ta")
WORDS: Final = tuple(f"{a}{b}{c}n" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES)
_WORDS_OF_A_TEXT: Final = 8


def text(number: int) -> str:
    """The same for the same number."""
    return " ".join(random.Random(number).sample(WORDS, _WORDS_OF_A_TEXT))
