"""Unpadded base64 in its two alphabets.

Decoding follows the specification: padding is accepted from others, never written.

Spec: appendices, #unpadded-base64 and #url-safe-unpadded-base64.
"""

from binascii import Error, a2b_base64, b2a_base64

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def encode(data: bytes) -> str:
    """Unpadded base64 in the standard alphabet."""
    return b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def encode_url_safe(data: bytes) -> str:
    """Unpadded base64 with "-" and "_" for "+" and "/"."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of base64 in the standard alphabet, padded or not. Raises ValueError."""
    bare = text.rstrip("=")
    if not bare.isascii() or len(text) - len(bare) > 2:
        raise ValueError("not base64")
    try:
        return a2b_base64((bare + "=" * (-len(bare) % 4)).encode("ascii"), strict_mode=True)
    except Error as error:
        raise ValueError("not base64") from error
