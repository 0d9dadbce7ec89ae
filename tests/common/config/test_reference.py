"""The reference is a config file with every option in it, and says something about each."""

import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec

from hs_common.config import Config, parse, reference
from hs_common.config.load import option_names
from hs_common.config.reference import toml_value
from hs_common.http.endpoint import Rate


def test_reference_is_a_config_file_with_the_defaults() -> None:
    assert parse(tomllib.loads(reference()), Path("/"), {}) == parse({}, Path("/"), {})


def test_reference_names_every_option() -> None:
    def names(table: dict[str, object], prefix: str = "") -> set[str]:
        found = set()
        for key, value in table.items():
            found.add(prefix + key)
            if isinstance(value, dict):
                found |= names(value, f"{prefix}{key}.")
        return found

    assert names(tomllib.loads(reference())) == set(option_names())


def test_every_option_is_explained() -> None:
    lines = reference().splitlines()
    bare = [
        line
        for before, line in pairwise(lines)
        if " = " in line and not line.startswith("#") and not before.startswith("#")
    ]
    assert bare == []
    assert "(in KiB, from 8 to 2097152)" in reference()
    assert "(debug | info | warning | error)" in reference()


def test_every_rate_class_of_endpoints_can_be_configured() -> None:
    options = {field.name for field in msgspec.structs.fields(Config().rate_limits)}
    assert options == {rate.value for rate in Rate if rate is not Rate.NONE} | {"disabled"}


def test_text_is_escaped_as_toml_wants_it() -> None:
    for text in ['say "x"', "back\\slash", "tab\t", "ü", "\x01"]:
        assert tomllib.loads(f"key = {toml_value(text)}") == {"key": text}
