"""Imports point down, never round; the pure core sees no world; one module at the top names the reactor.

The direction between packages is the import linter's, in pyproject.toml; here is what it cannot say.
"""

import ast

from tests.tidy.sources import Source, code, imported_modules

_IMPURE = {
    *("asyncio", "datetime", "http", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "ssl"),
    *("subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid"),
    *("psycopg2", "redis", "treq", "twisted", "prometheus_client"),
}
_REACTOR_MODULES = {"hs_master.main", "hs_master.all_in_one", "hs_workers.main"}
_SECRET_SOURCES = {"random", "secrets", "uuid"}


def in_package(source: Source, package: str) -> bool:
    return source.module == package or source.module.startswith(package + ".")


def test_the_pure_core_imports_nothing_of_the_world() -> None:
    impure = [
        f"{source.path}:{line} {name}"
        for source in code()
        if in_package(source, "hs_common.matrix")
        for name, line in imported_modules(source.tree)
        if name.split(".")[0] in _IMPURE or name in _IMPURE
    ]
    assert impure == []


def test_only_main_modules_name_the_reactor() -> None:
    found = [
        f"{source.path}:{line}"
        for source in code()
        if source.module not in _REACTOR_MODULES
        for name, line in imported_modules(source.tree)
        if name == "twisted.internet.reactor"
    ]
    assert found == []


def test_randomness_is_passed_in() -> None:
    """Main modules and the command line make randomness; everybody else receives it, so that one seed replays all."""
    found = [
        f"{source.path}:{line} {name}"
        for source in code()
        if source.module not in _REACTOR_MODULES and not in_package(source, "hs_common.process")
        for name, line in imported_modules(source.tree)
        if name.split(".")[0] in _SECRET_SOURCES and name != "random.Random"  # a class: what is made of it is passed in
    ]
    assert found == []


def test_there_is_no_import_cycle() -> None:
    modules = {source.module: source for source in code()}
    edges = {name: sorted(dependencies(source, modules)) for name, source in modules.items()}
    assert find_cycle(edges) == []


def dependencies(source: Source, modules: dict[str, Source]) -> set[str]:
    """The project's modules that a module imports, without itself and without the packages it lies in."""
    found = set()
    for name, _ in imported_modules(source.tree):
        target = name if name in modules else name.rpartition(".")[0]
        if target in modules and not source.module.startswith(target):
            found.add(target)
    return found


def find_cycle(edges: dict[str, list[str]]) -> list[str]:
    """The modules of one cycle in the order of their imports; empty when there is none."""
    finished: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in finished:
            return []
        path.append(module)
        for target in edges[module]:
            if cycle := visit(target):
                return cycle
        path.pop()
        finished.add(module)
        return []

    return next((cycle for module in sorted(edges) if (cycle := visit(module))), [])


def test_the_search_for_cycles_finds_one() -> None:
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c"]
    assert find_cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_imports_inside_functions_are_seen() -> None:
    tree = ast.parse("def f():\n    from twisted.internet import reactor\n")
    assert list(imported_modules(tree)) == [("twisted.internet.reactor", 2)]
