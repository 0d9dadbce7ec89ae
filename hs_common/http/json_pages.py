"""Long JSON lists that are read a page at a time while they are sent: memory holds one page, however long the list is.

Rules: the first page is read before the response begins, so what fails there is an ordinary error, and a list of one
page is an ordinary answer. What fails later breaks the connection (`streaming`): half a list is never closed as if it
were whole. Not known here: what is listed.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hs_common.http.reply import JSON_CONTENT_TYPE, Encoded, Streamed

Pages = Callable[[], Awaitable[Sequence[bytes] | None]]
"""The next page, each entry as JSON; None when there is none. A page may be empty though others follow."""

SEPARATOR: Final = b","


async def paged_json(opening: bytes, pages: Pages, closing: bytes) -> Encoded | Streamed:
    """The entries of all pages between two pieces of JSON."""
    first = await pages()
    second = None if first is None else await pages()
    if second is None:
        return Encoded(opening + SEPARATOR.join(first or ()) + closing)
    source = _PagesSource(opening + SEPARATOR.join(first or ()), bool(first), second, pages, closing)
    return Streamed(200, {"Content-Type": JSON_CONTENT_TYPE}, None, source)


class _PagesSource:
    """The pages as bytes. `has_entries`: the beginning ends with an entry."""

    def __init__(
        self, beginning: bytes, has_entries: bool, following: Sequence[bytes], pages: Pages, closing: bytes
    ) -> None:
        self._held = memoryview(beginning)
        self._has_entries = has_entries
        self._following: Sequence[bytes] | None = following
        self._pages = pages
        self._closing = closing

    async def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty only at the end."""
        while not self._held and self._closing:
            if self._following is None:
                self._following = await self._pages()
            self._held = memoryview(self._encoded(self._following))
            self._following = None
        data, self._held = self._held[:size], self._held[size:]
        return bytes(data)

    def _encoded(self, page: Sequence[bytes] | None) -> bytes:
        if page is None:
            closing, self._closing = self._closing, b""
            return closing
        joined = SEPARATOR.join(page)
        if joined and self._has_entries:
            joined = SEPARATOR + joined
        self._has_entries = self._has_entries or bool(joined)
        return joined

    def close(self) -> None:
        """No more will be read."""
        self._held, self._closing = memoryview(b""), b""
