"""The file with the server's signing key: made once, readable by the server alone, and never replaced."""

import os
from collections.abc import Callable
from pathlib import Path

from hs_common.matrix.signing import SigningKey


class SigningKeyError(Exception):
    """The key file is missing or not what it should be; the text says so without showing it."""


def read_signing_key(path: Path) -> SigningKey:
    """The key in the file. Raises SigningKeyError."""
    try:
        return SigningKey.from_text(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        raise SigningKeyError(
            f"There is no signing key {path}. `viaduct up` or `viaduct migrate --make-key` makes one."
        ) from None
    except OSError as error:
        raise SigningKeyError(f"The signing key {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise SigningKeyError(f"{path} is not a signing key: one line, ed25519 VERSION BASE64, is expected.") from None


def make_signing_key(path: Path, random_bytes: Callable[[int], bytes]) -> bool:
    """Make a key file, mode 600, unless there is one; answers whether it did.

    A random version keeps keys apart that were made by starting over: other servers remember keys by it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    key = SigningKey.generate(f"a_{random_bytes(3).hex()}", random_bytes)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.to_text() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def old_keys_path(path: Path) -> Path:
    """Where the public halves of the keys stand that were replaced, one a line."""
    return path.with_name(path.name + ".old")


def replace_signing_key(path: Path, random_bytes: Callable[[int], bytes], expired_ms: int) -> tuple[SigningKey, str]:
    """Put a new key into the file, and note the old one's public half as used until then. Answers the new key and the
    line of the old one. Raises SigningKeyError."""
    old = read_signing_key(path)
    line = f"{old.key_id} {old.verify_key.to_base64()} {expired_ms}"
    # First the note: a key that is noted and still used does no harm, one that is lost makes its events unverifiable.
    with old_keys_path(path).open("a", encoding="ascii") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    make_signing_key(unfinished, random_bytes)
    unfinished.rename(path)
    return read_signing_key(path), line
