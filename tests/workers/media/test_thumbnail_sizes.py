"""The ladder of sizes, and how pictures are fitted into its steps."""

from hypothesis import given
from hypothesis import strategies as st

from hs_workers.media.thumbnail_sizes import CROP_EDGES, WHOLE, cropped, rounded, scaled

wanted = st.integers(1, 5000)
edges = st.integers(1, 20_000)


def test_the_sizes_that_the_specification_names_are_made_as_they_are() -> None:
    for size in (32, 96):
        assert rounded("crop", size, size) == (size, size)
    for box in ((320, 240), (640, 480), (800, 600)):
        assert rounded("scale", *box) == box


@given(st.sampled_from(["scale", "crop"]), wanted, wanted)
def test_what_is_made_is_no_smaller_than_what_is_wanted(method: str, width: int, height: int) -> None:
    made = rounded(method, width, height)
    if max(width, height) > 4096:
        assert made == WHOLE
    else:
        assert width <= made[0] <= 4096
        assert height <= made[1] <= 4096


@given(wanted, wanted)
def test_a_crop_keeps_its_aspect(width: int, height: int) -> None:
    made = rounded("crop", width, height)
    if made == WHOLE:
        return
    longer = max(made)
    assert abs(made[0] * height - made[1] * width) <= longer * max(width, height)
    assert longer in CROP_EDGES


@given(edges, edges, st.tuples(wanted, wanted))
def test_scaling_fits_and_never_enlarges(width: int, height: int, box: tuple[int, int]) -> None:
    made = scaled(width, height, box)
    assert 1 <= made[0] <= min(width, box[0])
    assert 1 <= made[1] <= min(height, box[1])
    assert made[0] in (width, box[0]) or made[1] in (height, box[1])


@given(edges, edges, st.tuples(wanted, wanted))
def test_cropping_shows_the_middle_and_never_enlarges(width: int, height: int, box: tuple[int, int]) -> None:
    made, (left, upper, right, lower) = cropped(width, height, box)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    assert abs(left - (width - right)) <= 1
    assert abs(upper - (height - lower)) <= 1
    assert 1 <= made[0] <= min(box[0], right - left)
    assert 1 <= made[1] <= min(box[1], lower - upper)
    assert right - left == width or lower - upper == height
