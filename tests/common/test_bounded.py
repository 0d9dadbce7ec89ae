"""A bounded dictionary has the entries that were noted last, however they were, and those that were said to be used."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.bounded import Bounded

WAYS = st.sampled_from(("set", "update", "setdefault", "get", "use"))


@given(st.lists(st.tuples(WAYS, st.integers(0, 8), st.integers())), st.integers(1, 6))
def test_the_last_that_were_noted_are_there(noted: list[tuple[str, int, int]], most: int) -> None:
    bounded, expected = Bounded[int, int](most), dict[int, int]()
    for way, key, value in noted:
        if way == "set":
            bounded[key] = value
        elif way == "update":
            bounded.update({key: value})
        elif way == "setdefault":
            bounded.setdefault(key, value)
        elif way == "get":
            bounded.get(key)
        elif key in bounded:
            bounded.move_to_end(key)
        is_new = way in ("set", "update") or (way == "setdefault" and key not in expected)
        is_used = way == "use" and key in expected
        if is_new or is_used:
            before = expected.pop(key, 0)
            expected[key] = value if is_new else before
            expected = dict(list(expected.items())[-most:])
        assert list(bounded.items()) == list(expected.items())
