"""Which sizes of thumbnails are made: a ladder, so that a picture has few however many sizes are asked for.

Pure. Spec: client-server-api/#thumbnails.
"""

from typing import Final

SCALE_BOXES: Final = ((320, 240), (640, 480), (800, 600), (1600, 1200), (4096, 4096))
"""The first three are the specification's; nothing larger than the last one is made."""
CROP_EDGES: Final = (32, 96, 192, 320, 480, 640, 800, 1600, 4096)
"""The longer edge of a cropped thumbnail; the first two are the specification's."""
LARGEST_MADE: Final = 4096
WHOLE: Final = (LARGEST_MADE + 1, LARGEST_MADE + 1)
"""The step above both: the picture itself, as a thumbnail must not be smaller than was asked for where the picture is
not, and the largest of pictures need not be scaled for it."""


def rounded(method: str, width: int, height: int) -> tuple[int, int]:
    """The box that is made for a wanted one, at least as large; a crop keeps its aspect. Above all steps: WHOLE."""
    longer = max(width, height)
    if longer > LARGEST_MADE:
        return WHOLE
    if method == "scale":
        return next(box for box in SCALE_BOXES if width <= box[0] and height <= box[1])
    edge = next(edge for edge in CROP_EDGES if longer <= edge)
    return max(1, -(-width * edge // longer)), max(1, -(-height * edge // longer))


def scaled(width: int, height: int, box: tuple[int, int]) -> tuple[int, int]:
    """The size of a picture that fits into the box with its aspect kept, and is never larger than it was."""
    if width <= box[0] and height <= box[1]:
        return width, height
    if width * box[1] >= height * box[0]:
        return box[0], max(1, height * box[0] // width)
    return max(1, width * box[1] // height), box[1]


def cropped(width: int, height: int, box: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """The size of a crop, and which part of the picture (left, upper, right, lower) it shows: the middle, as much of
    it as has the box's aspect. Never larger than that part."""
    part_width = min(width, max(1, height * box[0] // box[1]))
    part_height = min(height, max(1, width * box[1] // box[0]))
    left, upper = (width - part_width) // 2, (height - part_height) // 2
    size = (min(box[0], part_width), min(box[1], part_height))
    return size, (left, upper, left + part_width, upper + part_height)
