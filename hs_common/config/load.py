"""From a TOML file to a checked `Config`. Every error is one sentence that names the key and what to do."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from hs_common.config.accounts import PasswordHash
from hs_common.config.config import Config
from hs_common.config.federation import Federation
from hs_common.config.media import Media
from hs_common.config.option import Secret, Section
from hs_common.matrix.room_versions import ROOM_VERSIONS

_SectionType = TypeVar("_SectionType", bound=Section)
_MINIMUM_SECRET_LENGTH = 16  # shorter ones can be tried out
_SERVER_NAME = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")  # appendices, server names
_OVERRIDE = re.compile(r"[A-Za-z0-9.:\[\]-]+=(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_OLD_KEY = re.compile(r"ed25519:[A-Za-z0-9_]{1,100} [A-Za-z0-9+/]{43}=? [0-9]{1,15}")
_CHEAP_HASH = PasswordHash(time_cost=1, memory_kib=8)
_FILE_OPTIONS = {
    "secret_file": "secret",
    "shared_secret_file": "shared_secret",
    "password_file": "password",
    "secret_access_key_file": "secret_access_key",
    "private_key_file": "private_key",
    "client_secret_file": "client_secret",
}
_S3_UPLOAD_BYTES = 5 << 30  # what S3 takes in one request


class ConfigError(Exception):
    """The config file cannot be used; the text is for the operator and holds no secret."""


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read and check the file at `path` (None: defaults only).

    Of `environment`, DATABASE_URL and REDIS_URL go before the file. Relative paths in the file count from its folder.
    Raises ConfigError.
    """
    data = _read(path) if path is not None else {}
    folder = path.parent if path is not None else Path()
    return parse(data, folder.resolve(), environment)


def parse(data: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> Config:
    """As `load`, of what a TOML parser returned for a file that lies in `folder`."""
    _refuse_unknown_keys(data, Config, "")
    try:
        config = msgspec.convert(data, Config, dec_hook=_decode_secret)
    except msgspec.ValidationError as error:
        raise ConfigError(_in_words(str(error))) from None
    config = _with_environment(config, environment)
    config = _with_files(config, folder)
    _check(config)
    return for_development(config) if config.dev else config


def for_development(config: Config) -> Config:
    """The same config with open registration, guests too, any password and a cheap hash of it, without rate limits, and
    quick to end.

    What this server connects to may be on the same machine; other servers are only those that the config places.
    """
    return replace(
        config,
        dev=True,
        listen=replace(config.listen, drain_ms=0),
        registration=replace(config.registration, enabled=True, guests=True, requires_token=False),
        rate_limits=replace(config.rate_limits, disabled=True),
        accounts=replace(config.accounts, password_hash=_CHEAP_HASH, minimum_password_length=1, password_needs=()),
        push=replace(config.push, allow_any_gateway=True),
        egress=replace(config.egress, allow=(*config.egress.allow, "127.0.0.0/8", "::1/128")),
        federation=_among_themselves(config.federation),
    )


def _among_themselves(federation: Federation) -> Federation:
    """Servers of a test or a demonstration talk with those that the config places, and with nobody on the internet."""
    placed = tuple(pair.partition("=")[0] for pair in federation.resolve)
    return replace(federation, enabled=federation.enabled and bool(placed), allow=placed, notaries=())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no config file {path}. `viaduct config` prints one with all defaults.") from None
    except OSError as error:
        raise ConfigError(f"The config file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {path} is not TOML: {error}.") from None


def _refuse_unknown_keys(data: Mapping[str, Any], section: type[Section], prefix: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(section)}
    for key, value in data.items():
        if key not in fields:
            raise ConfigError(f"Unknown option {prefix}{key}.{_nearest(key, prefix)}")
        inner = section_of(fields[key])
        if inner is not None and isinstance(value, Mapping):
            _refuse_unknown_keys(value, inner, f"{prefix}{key}.")


def _nearest(key: str, prefix: str) -> str:
    """The known option that was probably meant: in the same table, or anywhere when it stands in the wrong one."""
    known = list(option_names())
    siblings = [name[len(prefix) :] for name in known if name.startswith(prefix) and "." not in name[len(prefix) :]]
    if close := difflib.get_close_matches(key, siblings, n=1, cutoff=0.6):
        return f" Did you mean {prefix}{close[0]}?"
    same_name = [name for name in known if name.rpartition(".")[2] == key]
    leaves = [name for name in known if name.rpartition(".")[2] in difflib.get_close_matches(key, _leaves(known), n=1)]
    if close := same_name or leaves:
        return f" Did you mean {close[0]}?"
    return f" Known here: {', '.join(siblings)}."


def _leaves(names: list[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]


def option_names(section: type[Section] = Config, prefix: str = "") -> list[str]:
    """The full names of all options and tables, such as `listen.port` and `listen`."""
    names = []
    for field in msgspec.structs.fields(section):
        names.append(prefix + field.name)
        inner = section_of(field.type)
        if inner is not None:
            names += option_names(inner, f"{prefix}{field.name}.")
    return names


def section_of(annotation: Any) -> type[Section] | None:
    """The table that an option of this type is; None for plain values."""
    origin = getattr(annotation, "__origin__", annotation)  # of Annotated[…]
    return origin if isinstance(origin, type) and issubclass(origin, Section) else None


def _decode_secret(kind: type[Any], value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("Expected `str`")  # msgspec adds the place


def _in_words(error: str) -> str:
    """msgspec's `Expected `int`, got `str` - at `$.listen.port`` with our way of naming the place."""
    reason, _, place = error.partition(" - at `$")
    name = place.strip("`").lstrip(".")
    return f"Option {name}: {reason}." if name else f"{reason}."


def _with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    if url := environment.get("DATABASE_URL"):
        config = replace(config, database=replace(config.database, url=Secret(url)))
    if url := environment.get("REDIS_URL"):
        config = replace(config, redis=replace(config.redis, url=Secret(url)))
    return config


def _with_files(config: Config, folder: Path) -> Config:
    """Secrets read from their files, and other files' paths made absolute."""
    return replace(
        config,
        server=replace(config.server, signing_key_file=str(folder / config.server.signing_key_file)),
        media=replace(
            config.media,
            folder=str(folder / config.media.folder),
            s3=_with_secret_file(config.media.s3, "media.s3", folder),
        ),
        federation=replace(
            config.federation,
            tls_certificate_file=_in_folder(config.federation.tls_certificate_file, folder),
            tls_key_file=_in_folder(config.federation.tls_key_file, folder),
        ),
        egress=replace(config.egress, ca_file=_in_folder(config.egress.ca_file, folder)),
        cluster=_with_secret_file(config.cluster, "cluster", folder),
        registration=_with_secret_file(config.registration, "registration", folder),
        email=_with_secret_file(config.email, "email", folder),
        captcha=_with_secret_file(config.captcha, "captcha", folder),
        turn=_with_secret_file(config.turn, "turn", folder),
        oauth=_with_secret_file(config.oauth, "oauth", folder),
        sso=replace(
            config.sso,
            providers=tuple(_with_secret_file(one, f"sso.providers {one.id}", folder) for one in config.sso.providers),
        ),
        appservices=replace(
            config.appservices, registrations=tuple(str(folder / name) for name in config.appservices.registrations)
        ),
    )


def _in_folder(name: str, folder: Path) -> str:
    return str(folder / name) if name else ""


def _with_secret_file(section: _SectionType, name: str, folder: Path) -> _SectionType:
    for file_option, option in _FILE_OPTIONS.items():
        file_name = getattr(section, file_option, "")
        if not file_name:
            continue
        if getattr(section, option):
            raise ConfigError(f"Give either {name}.{option} or {name}.{file_option}, not both.")
        try:
            secret = (folder / file_name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"Option {name}.{file_option}: {folder / file_name}: {error.strerror}.") from None
        section = replace(section, **{option: Secret(secret)})
    return section


def _check(config: Config) -> None:
    """What types cannot say."""
    if not _SERVER_NAME.fullmatch(config.server.name) or len(config.server.name) > 230:
        raise ConfigError(f"Option server.name: {config.server.name!r} is not a server name, such as example.org.")
    if config.server.default_room_version not in ROOM_VERSIONS:
        known = ", ".join(ROOM_VERSIONS)
        raise ConfigError(f"Option server.default_room_version: known versions are {known}.")
    if config.email.smtp_host and not config.email.sender:
        raise ConfigError("Option email.sender: say whom mails are from, such as: Example <noreply@example.org>.")
    if config.email.smtp_host and not config.server.public_baseurl:
        raise ConfigError("Option server.public_baseurl: is needed for the links in mails.")
    if config.registration.requires_email and not config.email.smtp_host:
        raise ConfigError("Option registration.requires_email: needs email.smtp_host, or nobody can register.")
    if config.sso.providers and not config.server.public_baseurl:
        raise ConfigError("Option server.public_baseurl: is needed for coming back from identity providers.")
    if len({provider.id for provider in config.sso.providers}) != len(config.sso.providers):
        raise ConfigError("Option sso.providers: two have the same id.")
    if config.oauth.issuer and not config.oauth.secret:
        raise ConfigError("Option oauth.secret: the authentication service cannot be asked without it.")
    if config.terms.required and not config.server.public_baseurl:
        raise ConfigError("Option server.public_baseurl: is needed for the page where terms are accepted.")
    if config.captcha.public_key and not config.captcha.private_key:
        raise ConfigError("Option captcha.private_key: answers to the captcha cannot be checked without it.")
    turn = config.turn
    if turn.uris and not (turn.shared_secret or (turn.username and turn.password)):
        raise ConfigError("Option turn.shared_secret: needed for turn.uris, or a username and a password.")
    for uri in turn.uris:
        if not uri.startswith(("turn:", "turns:")):
            raise ConfigError(f"Option turn.uris: {uri!r} does not begin with turn: or turns:.")
    if config.email.username and config.email.security == "none":
        raise ConfigError("Option email.security: a password is only sent over an encrypted connection.")
    if config.egress.ca_file and not Path(config.egress.ca_file).is_file():
        raise ConfigError(f"Option egress.ca_file: there is no file {config.egress.ca_file}.")
    for name in ("tls_certificate_file", "tls_key_file"):
        file = getattr(config.federation, name)
        if config.federation.tls_port and not Path(file).is_file():
            raise ConfigError(f"Option federation.{name}: federation.tls_port needs it, and there is no file {file!r}.")
    for pair in config.federation.resolve:
        if not _OVERRIDE.fullmatch(pair):
            raise ConfigError(f'Option federation.resolve: {pair!r} is not like "example.org=10.0.0.5:8448".')
    for key in config.federation.old_signing_keys:
        if not _OLD_KEY.fullmatch(key):
            raise ConfigError(f'Option federation.old_signing_keys: {key!r} is not "ed25519:VERSION KEY EXPIRED_MS".')
    for name in ("allow", "deny"):
        _check_networks(f"egress.{name}", getattr(config.egress, name))
    _check_media(config.media)
    for name, secret in (
        ("cluster.secret", config.cluster.secret),
        ("registration.shared_secret", config.registration.shared_secret),
        ("oauth.secret", config.oauth.secret),
    ):
        if secret and len(secret) < _MINIMUM_SECRET_LENGTH:
            raise ConfigError(f"Option {name}: needs {_MINIMUM_SECRET_LENGTH} characters or more.")


def _check_networks(option: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(f"Option {option}: {network!r} is not a network, such as 10.0.0.0/8.") from None


def _check_media(media: Media) -> None:
    s3 = media.s3
    if not s3.endpoint:
        if media.moving_from:
            raise ConfigError("Option media.moving_from: media move between media.folder and media.s3: set both.")
        return
    for name in ("endpoint", "redirect_endpoint"):
        if not re.fullmatch(r"https?://[^/?#@]+|", getattr(s3, name)):
            raise ConfigError(f"Option media.s3.{name}: give scheme and host alone, such as https://s3.example.org.")
    if not (s3.bucket and s3.access_key_id and s3.secret_access_key):
        raise ConfigError("Give media.s3.bucket, access_key_id and secret_access_key (or secret_access_key_file).")
    if max(media.upload_bytes, media.remote_download_bytes) > _S3_UPLOAD_BYTES:
        raise ConfigError(f"Option media.upload_bytes: S3 takes {_S3_UPLOAD_BYTES} bytes at most.")
