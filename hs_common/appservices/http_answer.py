"""What an application service answered."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A service's answer; `body` may be cut."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300
