"""What `viaduct doctor` found at one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: good or not, and a sentence."""

    good: bool
    sentence: str
