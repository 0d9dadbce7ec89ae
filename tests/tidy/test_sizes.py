"""A file is one topic and a function fits a screen."""

from statistics import median

from tests.tidy.sources import ROOT, code, everything, sources

MAXIMUM_FILE_LINES = 500
MAXIMUM_FUNCTION_LINES = 70
MAXIMUM_MEDIAN_FUNCTION_LINES = 10
MAXIMUM_README_LINES = 100  # two screens


def test_no_file_is_longer_than_the_limit() -> None:
    long = [f"{source.path}: {source.line_count}" for source in everything() if source.line_count > MAXIMUM_FILE_LINES]
    assert long == []


def test_no_function_is_longer_than_the_limit() -> None:
    long = [
        f"{source.path}:{function.lineno} {function.name}: {length}"
        for source in everything()
        for function in source.functions()
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAXIMUM_FUNCTION_LINES
    ]
    assert long == []


def test_half_of_all_functions_are_short() -> None:
    lengths = [(function.end_lineno or 0) - function.lineno + 1 for source in code() for function in source.functions()]
    assert median(lengths) <= MAXIMUM_MEDIAN_FUNCTION_LINES


def test_readme_fits_two_screens() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= MAXIMUM_README_LINES


def test_main_modules_are_tables_of_contents() -> None:
    """Wiring and no logic: at most 80 lines each (style rule 7)."""
    long = [
        f"{source.path}: {source.line_count}"
        for source in sources("hs_master", "hs_workers")
        if source.path.name == "main.py" and source.line_count > 80
    ]
    assert long == []
