"""A new signing key, and what was signed before stays provable."""

import os
from pathlib import Path

from hs_common.federation.own_keys import OwnKeys, read_old_keys
from hs_common.matrix.server_keys import parse_server_keys
from hs_common.process.signing_key import make_signing_key, read_signing_key
from tests.common.process.test_commands import viaduct


def test_rotating_the_key(tmp_path: Path) -> None:
    config = tmp_path / "viaduct.toml"
    config.write_text('[server]\nname = "a.example"\n')
    path = tmp_path / "signing.key"
    make_signing_key(path, os.urandom)
    first = read_signing_key(path)
    for _ in range(2):
        result = viaduct("admin", "rotate-key", "--config", config)
        assert result.exit_code == 0, result.output
    new = read_signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    old = read_old_keys(path, [])
    assert next(one.key.key_id for one in old) == first.key_id
    published = OwnKeys("a.example", new, old, 1000, lambda: 0).published()
    keys = {key.key.key_id: key for key in parse_server_keys(published, "a.example", 0)}
    assert len(keys) == 3
    assert not keys[new.key_id].is_old
    assert keys[first.key_id].is_old
    assert keys[first.key_id].key.public_bytes == first.verify_key.public_bytes


def test_without_a_key_nothing_is_rotated(tmp_path: Path) -> None:
    config = tmp_path / "viaduct.toml"
    config.write_text('[server]\nname = "a.example"\n')
    assert viaduct("admin", "rotate-key", "--config", config).exit_code != 0
    assert not (tmp_path / "signing.key.old").exists()
