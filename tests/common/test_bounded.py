"""A bounded dictionary has the entries that were noted last."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.bounded import Bounded


@given(st.lists(st.tuples(st.integers(0, 8), st.integers())), st.integers(1, 6))
def test_the_last_that_were_noted_are_there(noted: list[tuple[int, int]], most: int) -> None:
    bounded, expected = Bounded[int, int](most), list[tuple[int, int]]()
    for key, value in noted:
        bounded[key] = value
        bounded.get(0)
        expected = [*((k, v) for k, v in expected if k != key), (key, value)][-most:]
        assert list(bounded.items()) == expected
