"""Config files: what is accepted, and that each error names the key and the way out."""

import tomllib
from pathlib import Path

import pytest

from hs_common.config import Bucket, Config, ConfigError, Secret, load, parse


def config_of(text: str, environment: dict[str, str] | None = None, folder: Path = Path("/etc/viaduct")) -> Config:
    return parse(tomllib.loads(text), folder, environment or {})


def error_of(text: str, folder: Path = Path("/etc/viaduct")) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(text, folder=folder)
    return str(caught.value)


def test_empty_file_gives_the_defaults() -> None:
    config = config_of("")
    assert config.server.name == "localhost"
    assert config.server.default_room_version == "12"
    assert config.server.signing_key_file == "/etc/viaduct/signing.key"
    assert not config.registration.enabled


def test_values_are_taken_and_typed() -> None:
    config = config_of(
        '[listen]\nport = 1\n[rate_limits]\nmessage = { per_second = 1, burst = 2 }\n[server]\nname = "[::1]:8448"'
    )
    assert config.listen.port == 1
    assert config.rate_limits.message == Bucket(per_second=1.0, burst=2)
    assert config.rate_limits.join == Config().rate_limits.join


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[listn]", "Unknown option listn. Did you mean listen?"),
        ("[listen]\nprt = 1", "Unknown option listen.prt. Did you mean listen.port?"),
        ("[server]\nport = 1", "Unknown option server.port. Did you mean listen.port?"),
        ("burst_count = 1", "Unknown option burst_count."),
        ("[presence]\nzzz = 1", "Unknown option presence.zzz. Known here: enabled."),
        ("[accounts.password_hash]\nmemory = 1", "Unknown option accounts.password_hash.memory. Did you mean "),
        ("[limits]\nforma = 1", "Unknown option limits.forma. Did you mean logging.format?"),
        ("[rate_limits]\nlogin = { per_secnd = 1 }", "Did you mean rate_limits.login.per_second?"),
        ('[listen]\nport = "x"', "Option listen.port: Expected `int`, got `str`."),
        ("[listen]\nport = 65536", "Option listen.port: Expected `int` <= 65535."),
        ("[database]\nurl = 3", "Option database.url: Expected `str`."),
        ('[logging]\nlevel = "loud"', "Option logging.level: Invalid enum value 'loud'."),
        ('[server]\nname = "https://example.org"', "Option server.name: 'https://example.org' is not a server name"),
        ('[server]\ndefault_room_version = "13"', "Option server.default_room_version: known versions are 1, 2,"),
        ('[cluster]\nsecret = "short"', "Option cluster.secret: needs 16 characters or more."),
        ('[cluster]\nid = "A"', "Option cluster.id: "),
        ('[media.s3]\nendpoint = "s3.example.org"', "Option media.s3.endpoint: give scheme and host alone"),
        ('[media.s3]\nendpoint = "https://s3.example.org"', "Give media.s3.bucket, access_key_id and secret"),
        ("[media.s3]\nbuckt = 1", "Unknown option media.s3.buckt. Did you mean media.s3.bucket?"),
    ],
)
def test_error_names_the_key(text: str, expected: str) -> None:
    assert expected in error_of(text)


def test_environment_goes_before_the_file() -> None:
    text = '[database]\nurl = "postgresql://file/a"\n[redis]\nurl = "redis://file"'
    assert config_of(text).database.url == "postgresql://file/a"
    config = config_of(text, {"DATABASE_URL": "postgresql://env/b", "REDIS_URL": "redis://env"})
    assert config.database.url == "postgresql://env/b"
    assert config.redis.url == "redis://env"


def test_secrets_come_from_files_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "cluster").write_text("0123456789abcdef\n")
    (tmp_path / "registration").write_text("fedcba9876543210")
    text = '[cluster]\nsecret_file = "cluster"\n[registration]\nshared_secret_file = "registration"'
    config = config_of(text, folder=tmp_path)
    assert config.cluster.secret == "0123456789abcdef"
    assert config.registration.shared_secret == "fedcba9876543210"


def test_missing_secret_file_and_two_secrets_are_errors(tmp_path: Path) -> None:
    text = '[cluster]\nsecret_file = "cluster"'
    assert f"cluster.secret_file: {tmp_path}/cluster: No such file" in error_of(text, tmp_path)
    (tmp_path / "cluster").write_text("0123456789abcdef\n")
    assert "either cluster.secret or cluster.secret_file" in error_of(text + '\nsecret = "0123456789abcdef"', tmp_path)


def test_no_record_shows_a_secret() -> None:
    text = '[cluster]\nsecret = "0123456789abcdef"\n[database]\nurl = "postgresql://u:p4ss@h/d"'
    shown = repr(config_of(text))
    assert "0123456789abcdef" not in shown
    assert "p4ss" not in shown
    assert repr(Secret("")) != repr(Secret("x"))
    assert "0123456789abcde" not in error_of('[cluster]\nsecret = "0123456789abcde"')


def test_dev_opens_registration_and_switches_limits_off() -> None:
    config = config_of('dev = true\n[registration]\nrequires_token = true\n[accounts]\npassword_needs = ["digit"]')
    assert config.registration.enabled
    assert config.registration.guests
    assert not config.registration.requires_token
    assert config.rate_limits.disabled
    assert config.accounts.password_hash.time_cost == 1
    assert (config.accounts.minimum_password_length, config.accounts.password_needs) == (1, ())


def test_load_reads_the_file_and_names_it_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "viaduct.toml"
    with pytest.raises(ConfigError, match=r"no config file .*viaduct\.toml"):
        load(path, {})
    path.write_text("[server]\nname = \n")
    with pytest.raises(ConfigError, match=r"viaduct\.toml is not TOML.*line 2"):
        load(path, {})
    path.write_text('[server]\nname = "example.org"')
    assert load(path, {}).server.name == "example.org"
    assert load(path, {}).server.signing_key_file == str(tmp_path / "signing.key")


def test_config_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        config_of("").listen.port = 1  # type: ignore[misc]


def test_servers_in_development_talk_only_with_those_that_are_placed() -> None:
    alone = parse({"dev": True}, Path("/"), {})
    assert not alone.federation.enabled
    placed = parse({"dev": True, "federation": {"resolve": ["b.test=127.0.0.1:8448"]}}, Path("/"), {})
    assert placed.federation.enabled
    assert (placed.federation.allow, placed.federation.notaries) == (("b.test",), ())


@pytest.mark.parametrize(
    "federation",
    [
        {"resolve": ["b.test"]},
        {"resolve": ["b.test=127.0.0.1"]},
        {"old_signing_keys": ["ed25519:a abc"]},
        {"tls_port": 8448},
        {"key_lifetime_hours": 1},
    ],
)
def test_what_federation_needs_is_checked(federation: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"federation\."):
        parse({"federation": federation}, Path("/"), {})
