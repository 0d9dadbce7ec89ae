"""Each SQL statement of the storage package stands in one function, and each of its functions is used."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.tidy.sources import Source, code

_ASKING = {"fetch", "fetch_one", "execute"}


def _storage() -> Iterator[tuple[Source, ast.AsyncFunctionDef]]:
    for source in code():
        if source.module.startswith("hs_common.storage."):
            for node in source.tree.body:
                if isinstance(node, ast.AsyncFunctionDef):
                    yield source, node


def _statements(function: ast.AST) -> Iterator[str]:
    """Without what does not tell them apart: white space, and the names of parameters."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASKING:
            sql = node.args[0]
            if isinstance(sql, ast.Constant) and isinstance(sql.value, str):
                yield "".join(re.sub(r"%\(\w+\)s", "%s", sql.value).split())


def test_no_statement_stands_twice() -> None:
    places: defaultdict[str, set[str]] = defaultdict(set)
    for source, function in _storage():
        for statement in _statements(function):
            places[statement].add(f"{source.path}: {function.name}")
    assert [sorted(found) for found in places.values() if len(found) > 1] == []


def test_every_statement_is_used() -> None:
    words = Counter(word for source in code() for word in re.findall(r"\w+", source.text))
    unused = [f"{source.path}: {function.name}" for source, function in _storage() if words[function.name] < 2]
    assert unused == []
