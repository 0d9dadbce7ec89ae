"""The program of a thumbnail process: reads pictures from its input and writes thumbnails to its output.

Rules: what it decodes is hostile. It may write no file, use so much memory and no more, and is killed when it takes too
long; whatever a decoder raises or dies of costs this process alone. Nothing of the server is known here.
"""

import resource
import sys
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, ImageSequence

from hs_workers.media.thumbnail_protocol import Answer, Job, Kind, PipeEnded, Size, encode_size, read_job, write_answer
from hs_workers.media.thumbnail_sizes import LARGEST_MADE, WHOLE, cropped, scaled

_TYPES: Final = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")  # what Pillow may try: a JPEG may turn out to be an MPO
_ORIENTATION: Final = 0x0112  # the EXIF tag; from 5 on width and height are exchanged
BASE_MEMORY_BYTES: Final = 640 << 20
"""Python, Pillow's libraries and one encoded picture, as address space."""
BYTES_PER_PIXEL: Final = 16
"""A decoded picture, its rotated or converted copy, and room for a decoder's own."""
MAXIMUM_FRAMES: Final = 300
MAXIMUM_FRAME_PIXELS: Final = 150_000_000
"""All frames of an animation as they are decoded: some two seconds. Beyond, its first frame is the thumbnail."""
MAXIMUM_MADE_PIXELS: Final = 20_000_000
"""All frames of an animated thumbnail, which are in memory together."""
JPEG_QUALITY: Final = 80
WEBP_EFFORT: Final = 2  # of 6: half the time of the default for some more bytes


def make(job: Job) -> Answer:
    """The thumbnail. Raises nothing: decoders of hostile files raise anything."""
    try:
        with Image.open(BytesIO(job.data), formats=_FORMATS) as image:
            if image.width * image.height > job.maximum_pixels:
                return Answer(Kind.TOO_LARGE)
            if job.width == 0:
                return _measured(image)
            return _thumbnail(image, job)
    except MemoryError:
        return Answer(Kind.TOO_LARGE)
    except Exception:
        return Answer(Kind.UNREADABLE)


def _thumbnail(image: Image.Image, job: Job) -> Answer:
    orientation = image.getexif().get(_ORIENTATION, 1)
    upright = (image.height, image.width) if orientation >= 5 else image.size
    is_whole = (job.width, job.height) == WHOLE
    box = (LARGEST_MADE, LARGEST_MADE) if is_whole else (job.width, job.height)
    size, part = cropped(*upright, box) if job.crop and not is_whole else (scaled(*upright, box), None)
    content_type = _TYPES[image.format or ""]
    is_animated = image.format != "MPO" and getattr(image, "is_animated", False)
    if job.animated and is_animated and _is_small_animation(image, size):
        return _animated(image, size, part)
    is_small = upright[0] <= box[0] and upright[1] <= box[1]
    # A large one is told as it is, also where it lies on its side. One that moves has to stand still: that is made, and
    # is smaller then than was asked for.
    if not is_animated and (orientation == 1 if is_small else is_whole):
        image.load()  # a broken one is no thumbnail
        return Answer(Kind.ORIGINAL, content_type)
    if image.format in ("JPEG", "MPO") and not job.crop:
        image.draft("RGB", size if orientation < 5 else (size[1], size[0]))
    return _static(image, orientation, size, part)


def _measured(image: Image.Image) -> Answer:
    is_turned = image.getexif().get(_ORIENTATION, 1) >= 5
    size = Size(image.height, image.width) if is_turned else Size(image.width, image.height)
    return Answer(Kind.MEASURED, _TYPES[image.format or ""], encode_size(size))


def _static(
    image: Image.Image, orientation: int, size: tuple[int, int], part: tuple[int, int, int, int] | None
) -> Answer:
    """The first frame. `part` None: all of the picture, whatever size it was decoded at."""
    image.load()
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    transparent = image.has_transparency_data
    image = image.convert("RGBA" if transparent else "RGB")
    if size != image.size or part not in (None, (0, 0, *image.size)):
        image = image.resize(size, Image.Resampling.LANCZOS, part, reducing_gap=2.0)
    output = BytesIO()
    if transparent:
        image.save(output, "PNG")
        return Answer(Kind.MADE, "image/png", output.getvalue())
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return Answer(Kind.MADE, "image/jpeg", output.getvalue())


def _is_small_animation(image: Image.Image, size: tuple[int, int]) -> bool:
    frames = getattr(image, "n_frames", 1)
    return (
        1 < frames <= MAXIMUM_FRAMES
        and frames * image.width * image.height <= MAXIMUM_FRAME_PIXELS
        and frames * size[0] * size[1] <= MAXIMUM_MADE_PIXELS
    )


def _animated(image: Image.Image, size: tuple[int, int], part: tuple[int, int, int, int] | None) -> Answer:
    frames, durations = [], []
    for frame in ImageSequence.Iterator(image):
        durations.append(max(10, round(frame.info.get("duration", 100))))
        frames.append(frame.convert("RGBA").resize(size, Image.Resampling.BILINEAR, part, reducing_gap=2.0))
    output = BytesIO()
    loop = image.info.get("loop", 0)
    options = {"duration": durations, "loop": loop, "method": WEBP_EFFORT}
    frames[0].save(output, "WEBP", save_all=True, append_images=frames[1:], **options)
    return Answer(Kind.MADE, "image/webp", output.getvalue())


def confine(maximum_pixels: int) -> None:
    """Takes from this process what it does not need."""
    Image.init()  # loads all decoders while files can still be opened at will
    Image.MAX_IMAGE_PIXELS = None  # checked here, with the operator's limit
    memory = BASE_MEMORY_BYTES + BYTES_PER_PIXEL * maximum_pixels
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (value, value))


def limit_time(seconds: int) -> None:
    """The kernel kills this process if it goes on for longer, should its parent not be there to do it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (round(used.ru_utime + used.ru_stime) + seconds, resource.RLIM_INFINITY))


def main() -> None:
    """Works until its input ends. Arguments: pixels of the largest picture, seconds for each."""
    maximum_pixels, seconds = int(sys.argv[1]), int(sys.argv[2])
    confine(maximum_pixels)
    while True:
        try:
            job = read_job(sys.stdin.buffer)
        except PipeEnded:
            return
        limit_time(seconds)
        write_answer(sys.stdout.buffer, make(job))


if __name__ == "__main__":
    main()
