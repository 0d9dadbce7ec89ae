"""Pictures that tests upload: good ones, and ones that nobody should open without care."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Left half red, right half blue (fully and half opaque, with an alpha channel)."""
    image = Image.new(mode, (width, height), RED if mode == "RGB" else (*RED, 255))
    image.paste(BLUE if mode == "RGB" else (*BLUE, 128), (width // 2, 0, width, height))
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def animation(width: int, height: int, frames: int, kind: str = "GIF") -> bytes:
    """Frames of different colours."""
    colours = [(number * 50 % 256, number % 256, number // 256 * 50) for number in range(frames)]
    images = [Image.new("RGB", (width, height), colour) for colour in colours]
    output = BytesIO()
    images[0].save(output, kind, save_all=True, append_images=images[1:], duration=50, loop=0)
    return output.getvalue()


def turned(width: int, height: int, orientation: int) -> bytes:
    """A JPEG whose EXIF data say how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(width, height, "JPEG", exif=exif, quality=95)


def opened(data: bytes) -> Image.Image:
    """A picture that came back."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that says to be so large; its data are zeros, a thousandth of what it decodes to, or what is given."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    data = packer.compress(rows or bytes(min((width * 3 + 1) * height, 200_000_000))) + packer.flush()
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


GIF_FRAME = b",\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;"
"""As large as the canvas, in a few bytes."""


def hostile() -> dict[str, tuple[bytes, str]]:
    """By name: the file and the type that its uploader says it has. None has a thumbnail."""
    good = picture(600, 400)
    html = b"<html><script>alert(1)</script></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    text_bomb = good[:33] + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000))) + good[33:]
    return {
        "bomb": (png_bomb(30_000, 30_000), "image/png"),
        "bomb within the limit without its rows": (png_bomb(3_000, 3_000, b"\0"), "image/png"),
        "huge edge": (png_bomb(2_000_000_000, 1, b"\0"), "image/png"),
        "no pixels": (png_bomb(0, 0, b"\0"), "image/png"),
        "text bomb": (text_bomb, "image/png"),
        "truncated": (good[: len(good) // 2], "image/png"),
        "truncated jpeg": (picture(600, 400, "JPEG")[:700], "image/jpeg"),
        "truncated webp": (picture(600, 400, "WEBP")[:60], "image/webp"),
        "jpeg that says it is huge": (
            b"\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\3\1\x11\0\2\x11\0\3\x11\0\xff\xda\0\x0c",
            "image/jpeg",
        ),
        "gif with a huge canvas": (b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff" + GIF_FRAME, "image/gif"),
        "pdf": (b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n", "image/png"),
        "heif": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(500), "image/png"),
        "zip": (b"PK\3\4" + bytes(500), "image/png"),
        "empty": (b"", "image/png"),
        "html": (html, "image/png"),
        "svg": (svg, "image/svg+xml"),
        "svg as png": (svg, "image/png"),
        "html as unknown": (html, "application/octet-stream"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n", "image/png"),
        "tiff": (picture(600, 400, "TIFF"), "image/png"),
        "bmp": (picture(600, 400, "BMP"), "image/png"),
        "ico": (picture(64, 64, "ICO"), "image/png"),
        "gif with nothing in it": (b"GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff;", "image/gif"),
        "webp with a huge canvas": (
            b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff\x3f\0\xff\x3f\0" + b"ANIM\x06\0\0\0\0\0\0\0\0\0",
            "image/webp",
        ),
    }
