"""The reference of all options: a config file with every default and every explanation, made from the declarations."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hs_common.config.config import Config
from hs_common.config.load import section_of
from hs_common.config.option import Section
from hs_common.config.rate_limits import Bucket

_WIDTH = 110


def reference() -> str:
    """A complete config file: every option with its default, its unit, the values it accepts and a sentence."""
    head = (
        "Every option with its default. A file needs only what differs. Print this again with `viaduct config`, and "
        "check yours with `viaduct config --check FILE`."
    )
    return "\n".join([*_comment(head), "", *_table(Config(), "", None)]) + "\n"


def first_file(values: Mapping[str, Any]) -> str:
    """A config file of the given options alone, such as {"server.name": "example.org"}, each with its explanation."""
    head = "Made by `viaduct up`, yours from now on. All other options, and their defaults: `viaduct config`."
    return "\n".join([*_comment(head), *_table(Config(), "", values)]) + "\n"


def _table(section: Section, name: str, only: Mapping[str, Any] | None) -> Iterator[str]:
    """One table's own options, then its inner tables, as TOML wants it. `only` selects options and gives values."""
    own, inner = [], []
    for field in msgspec.structs.fields(section):
        path = f"{name}.{field.name}" if name else field.name
        value = getattr(section, field.name)
        if section_of(field.type) not in (None, Bucket):
            inner.append((path, value))
        elif only is None or path in only:
            own += _comment(_description(field.type))
            own.append(f"{field.name} = {toml_value(value if only is None else only[path])}")
    if name and own:
        yield from ("", *_comment(_title(section)), f"[{name}]")
    yield from own
    for path, value in inner:
        yield from _table(value, path, only)


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Section):
        pairs = (f"{name} = {toml_value(item)}" for name, item in msgspec.structs.asdict(value).items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)  # TOML's basic strings escape as JSON's do
    return str(value)


def _title(section: Section) -> str:
    return (type(section).__doc__ or "").split("\n\n")[0].strip()


def _description(annotation: Any) -> str:
    meta = _meta(annotation)
    if meta is None:
        return ""
    unit = (meta.extra or {}).get("unit", "")
    bounds = [f"from {meta.ge}" if meta.ge is not None else "", f"to {meta.le}" if meta.le is not None else ""]
    facts = ", ".join(
        fact for fact in (unit and f"in {unit}", " ".join(filter(None, bounds)), _choices(annotation)) if fact
    )
    return f"{meta.description} ({facts})" if facts else meta.description or ""


def _meta(annotation: Any) -> msgspec.Meta | None:
    return next((item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, msgspec.Meta)), None)


def _choices(annotation: Any) -> str:
    choices = getattr(getattr(annotation, "__origin__", None), "__args__", ())
    return " | ".join(choices) if choices and all(isinstance(choice, str) for choice in choices) else ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]
