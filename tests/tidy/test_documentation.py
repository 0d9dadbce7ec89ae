"""Each file opens with what it is for, and each endpoint points at its place in the specification."""

import ast
import re

from tests.tidy.sources import Source, code, everything, sources

_MINIMUM_TEST_RATIO = 0.6  # a ratchet: raised as the tests grow, never lowered; the aim is 1.0


def is_blank(source: Source) -> bool:
    return not source.text.strip()


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(source.path) for source in everything() if not is_blank(source) and not ast.get_docstring(source.tree)
    ]
    assert silent == []


def test_every_endpoint_names_its_place_in_the_specification() -> None:
    """An anchor of the specification, or the number of a proposal that is not yet part of it."""
    unnamed = [
        f"{source.path}:{call.lineno}"
        for source in sources("hs_workers", "hs_common")
        for call in endpoint_calls(source)
        if not re.search(r"#|MSC\d+|synapse|viaduct", literal(call, "spec"), re.IGNORECASE)
    ]
    assert unnamed == []


def test_there_is_about_as_much_test_as_code() -> None:
    code_lines = sum(source.line_count for source in code())
    test_lines = sum(source.line_count for source in sources("tests"))
    assert test_lines / code_lines >= _MINIMUM_TEST_RATIO


def endpoint_calls(source: Source) -> list[ast.Call]:
    """The `@endpoint(…)` decorators of a file."""
    return [
        decorator
        for function in source.functions()
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "endpoint"
    ]


def literal(call: ast.Call, name: str) -> str:
    """The source text of a keyword argument; empty when it is missing."""
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), "")
