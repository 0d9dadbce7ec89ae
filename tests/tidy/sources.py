"""The project's Python files, parsed once, for the tests beside this file."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hs_common", "hs_master", "hs_workers")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path relative to the project, its text and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name that it is imported by."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def line_count(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The files under the given folders of the project."""
    return tuple(source(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def source(path: Path) -> Source:
    """One file."""
    text = path.read_text()
    return Source(path.relative_to(ROOT), text, ast.parse(text))


def code() -> tuple[Source, ...]:
    """What runs in production."""
    return sources(*PACKAGES)


def everything() -> tuple[Source, ...]:
    """The code and its tests."""
    return sources(*PACKAGES, "tests")


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of everything imported, inside functions and for type checking too.

    `from a import b` yields `a.b`, as b may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
