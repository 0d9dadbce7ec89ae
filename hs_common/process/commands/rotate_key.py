"""`viaduct admin rotate-key`: a new signing key, with the old one's public half kept for what it has signed."""

import os
import time
from pathlib import Path
from typing import Final

import click

from hs_common.config import ConfigError
from hs_common.process.options import failing_with, say
from hs_common.process.server_options import server_config, server_options
from hs_common.process.signing_key import SigningKeyError, old_keys_path, replace_signing_key

RESTART_WITHIN_S: Final = 600
"""Until then the old key may still sign: other servers would refuse events signed after its end."""


@click.command("rotate-key")
@server_options
@failing_with(ConfigError, SigningKeyError, OSError)
def rotate_key(data_dir: Path, config_path: Path | None) -> None:
    """Replace the server's signing key. All processes must be restarted within ten minutes."""
    path = Path(server_config(data_dir, config_path).server.signing_key_file)
    expired_ms = (time.time_ns() // 1_000_000) + RESTART_WITHIN_S * 1000
    key, line = replace_signing_key(path, os.urandom, expired_ms)
    say(f"The server signs with {key.key_id} as soon as its processes are restarted: do it within ten minutes.")
    say(f"The old key's public half is in {old_keys_path(path)}: {line}")
