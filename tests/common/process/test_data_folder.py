"""The folder of `viaduct up`: made once, kept, private, and used by one server at a time."""

import os
import stat
from pathlib import Path

import pytest

from hs_common.config import ConfigError
from hs_common.process.data_folder import DataFolder, DataFolderError
from hs_common.process.signing_key import SigningKeyError, make_signing_key, read_signing_key


def counted_bytes(length: int) -> bytes:
    return bytes(range(length))


def opened(path: Path) -> DataFolder:
    folder = DataFolder(path)
    folder.open()
    return folder


def test_first_start_makes_a_private_config_with_secrets_of_its_own(tmp_path: Path) -> None:
    folder = opened(tmp_path / "new" / "data")
    assert folder.make_config("example.org", 9000, counted_bytes)
    config = folder.load_config("example.org")
    assert config.server.name == "example.org"
    assert config.listen.port == 9000
    assert config.cluster.secret == counted_bytes(32).hex()
    assert not config.registration.enabled
    assert stat.S_IMODE(folder.config_path.stat().st_mode) == 0o600


def test_config_belongs_to_the_operator_once_it_is_there(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.make_config("example.org", None, counted_bytes)
    folder.config_path.write_text(folder.config_path.read_text() + "\n[limits]\npage_size = 77\n")
    assert not folder.make_config("other.org", None, counted_bytes)
    assert folder.load_config(None).limits.page_size == 77


def test_another_server_name_is_refused(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.make_config("example.org", None, counted_bytes)
    with pytest.raises(ConfigError, match=r"belongs to the server example\.org; a server's name never changes"):
        folder.load_config("other.org")


def test_second_server_on_the_folder_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(DataFolderError, match=f"Process {os.getpid()} already runs a server"):
        DataFolder(tmp_path).open()
    assert first.path == tmp_path.resolve()


def test_folder_that_cannot_be_made_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match=r"cannot be used: Not a directory\. Name another"):
        DataFolder(tmp_path / "file" / "data").open()


def test_notes_are_read_back(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.noted("url") == ""
    folder.note("url", "http://127.0.0.1:1")
    assert folder.noted("url") == "http://127.0.0.1:1"


def test_signing_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    assert make_signing_key(path, counted_bytes)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not make_signing_key(path, os.urandom)
    assert path.read_text() == first
    assert read_signing_key(path).key_id == "ed25519:a_000102"


def test_missing_or_broken_signing_key_is_told_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    with pytest.raises(SigningKeyError, match="There is no signing key"):
        read_signing_key(path)
    path.write_text("secret nonsense")
    with pytest.raises(SigningKeyError, match="is not a signing key") as caught:
        read_signing_key(path)
    assert "nonsense" not in str(caught.value)
