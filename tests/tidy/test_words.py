"""Names are the specification's words, and nothing is left for later."""

import ast
import re

from tests.tidy.sources import ROOT, Source, code, everything

# "Event context" is the specification's own word.
_VAGUE_CLASS = re.compile(r"(Handler|Manager|Servlet|Helper|Util|Utils|(?<!Event)Context)$")
_VAGUE_FUNCTION = re.compile(r"^_?(do_|process_(?!id$))")
# Spelled in pieces, so that this file does not find itself.
_LEFT_FOR_LATER = re.compile("|".join([r"\bTO" + "DO", "FIX" + "ME", r"\bXX" + r"X\b", "NotImplemented" + "Error"]))
_SKIPPED = re.compile("|".join([r"pytest\.sk" + r"ip\(", r"mark\.sk" + "ip", r"mark\.xf" + "ail"]))
_ONE_MACHINE = re.compile("|".join(["/wo" + "rk/", r"/ro" + r"ot/\.", "/tmp/bash" + "_jobs", r"\.\./sha" + "red"]))
_TEXT_SUFFIXES = {".md", ".toml", ".yml", ".yaml", ".sql", ".cfg", ".sh", ".html", ".json"}


def places(source: Source, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{source.path}:{number}: {line.strip()}"
        for number, line in enumerate(source.text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_classes_say_what_they_are() -> None:
    vague = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and _VAGUE_CLASS.search(node.name)
    ]
    assert vague == []


def test_functions_say_what_they_do() -> None:
    vague = [
        f"{source.path}:{function.lineno} {function.name}"
        for source in code()
        for function in source.functions()
        if _VAGUE_FUNCTION.search(function.name)
    ]
    assert vague == []


def test_nothing_is_left_for_later() -> None:
    assert [place for source in everything() for place in places(source, _LEFT_FOR_LATER)] == []


def test_no_test_is_switched_off() -> None:
    assert [place for source in everything() for place in places(source, _SKIPPED)] == []


def test_nothing_names_one_developers_machine() -> None:
    texts = [path for path in ROOT.iterdir() if path.suffix in _TEXT_SUFFIXES]
    for folder in ("docs", "deploy", ".ci", "hs_common", "hs_master", "hs_workers", "tests"):
        texts += [path for path in (ROOT / folder).rglob("*") if path.suffix in _TEXT_SUFFIXES]
    texts = [path for path in texts if "node_modules" not in path.parts]  # of those who ran plays of npm packages
    found = [str(path.relative_to(ROOT)) for path in texts if _ONE_MACHINE.search(path.read_text())]
    found += [place for source in everything() for place in places(source, _ONE_MACHINE)]
    assert found == []


def test_no_failure_is_swallowed() -> None:
    """`except: pass` hides what an operator needs to see; contextlib.suppress names what may happen."""
    silent = [
        f"{source.path}:{node.lineno}"
        for source in everything()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and all(isinstance(step, ast.Pass) for step in node.body)
    ]
    assert silent == []
