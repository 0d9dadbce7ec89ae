"""Registration files, in YAML as bridges write them."""

from pathlib import Path

from hs_common.matrix.appservice import BadRegistration, Registration, Service, Tokens, check_sender, parse_registration

SIZE_LIMIT_BYTES = 1024 * 1024
"""A registration has some lines; a long list of namespaces some hundred."""


def parse_file(text: str | bytes, server_name: str) -> tuple[Registration, Tokens]:
    """The registration in a file's text. Raises BadRegistration."""
    if len(text) > SIZE_LIMIT_BYTES:
        raise BadRegistration(f"A registration has at most {SIZE_LIMIT_BYTES} bytes")
    import yaml  # loaded with the first file, as workers hardly ever read one

    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        raise BadRegistration(f"Not YAML{'' if place is None else f', line {place.line + 1}'}") from error
    registration, tokens = parse_registration(given)
    check_sender(Service(registration, server_name))
    return registration, tokens


def read_file(path: Path, server_name: str) -> tuple[Registration, Tokens]:
    """The registration in a file. Raises BadRegistration, which names the file."""
    try:
        return parse_file(path.read_bytes(), server_name)
    except OSError as error:
        raise BadRegistration(f"{path}: {error.strerror}") from error
    except BadRegistration as error:
        raise BadRegistration(f"{path}: {error}") from error
