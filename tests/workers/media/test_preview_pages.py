"""What is read of pages: pure, whatever they say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_workers.media.previews.oembed import read_oembed
from hs_workers.media.previews.page import VALUE_LIMIT, read_page
from hs_workers.media.previews.plain_text import decoded, plain

URL = "https://example.org/a/page"
PIECES = [
    "<meta ",
    "<title",
    ">",
    "og:title",
    "content",
    "=",
    "'",
    '"',
    "<p>",
    "property",
    "<!--",
    "-->",
    "/",
    " ",
    "x",
]
PIECES += ["<link ", "href", "&amp;", "<body>", "</"]
TEXT = "This paragraph is long enough to say something about what one finds here."


def properties(html: str) -> dict[str, str]:
    return read_page(html, URL).properties


def test_opengraph() -> None:
    page = read_page(
        """<!DOCTYPE html><html><head prefix="og: https://ogp.me/ns#"><title>Not this</title>
        <meta property="og:title" content="A &amp; B"/><META CONTENT='Two
        lines' PROPERTY='og:description'><meta property=og:type content=article>
        <meta property="og:image" content="/pictures/one.png?a=1&amp;b=2"><meta property="og:image:width" content="9">
        <meta property="og:image" content="/two.png"><meta property="og:title" content="second">
        <meta name="description" content="Not this"><meta property="og:site_name" content="Example"></head>""",
        URL,
    )
    assert page.properties == {
        "og:title": "A & B",
        "og:description": "Two lines",
        "og:type": "article",
        "og:site_name": "Example",
    }
    assert page.image == "https://example.org/pictures/one.png?a=1&b=2"


def test_what_stands_in_for_it() -> None:
    page = read_page(
        f"""<title lang="en"> The
        title </title><meta name="twitter:image" content="//cdn.example.org/x.jpg"><body><p>short</p>
        <p class="x">{TEXT} <b>Bold</b></p><script>var x = "<p>{TEXT} not this</p>"</script>""",
        URL,
    )
    assert page.properties == {"og:title": "The title", "og:description": f"{TEXT} Bold"}
    assert page.image == "https://cdn.example.org/x.jpg"
    assert properties('<meta name="description" content="Said">')["og:description"] == "Said"
    assert read_page('<link rel="image_src" href="x.png">', URL).image == "https://example.org/a/x.png"
    assert read_page('<meta itemprop="image" content="y.png">', URL).image == "https://example.org/a/y.png"


def test_what_is_hidden_is_not_read() -> None:
    hidden = '<meta property="og:title" content="x">'
    for html in (
        f"<!-- {hidden} --><title>y</title>",
        f"<script>{hidden}</script><title>y</title>",
        f"<STYLE>{hidden}</style ><title>y</title>",
        f"<svg><title>x</title>{hidden}</svg><title>y</title>",
    ):
        assert properties(html) == {"og:title": "y"}
    assert properties(f"<script>{hidden}") == properties(f"<!-- {hidden}") == {}


@pytest.mark.parametrize(
    "reference",
    [
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "file:///etc/passwd",
        "",
        "http://[",
        "ftp://x/y",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_link_of_the_web(reference: str) -> None:
    page = read_page(
        f'<meta property="og:image" content="{reference}"><meta property="og:url" content="{reference}">'
        f'<meta property="og:video:secure_url" content="{reference}">'
        f'<link rel=alternate type="application/json+oembed" href="{reference}">',
        URL,
    )
    assert page.image is None
    assert page.oembed is None
    assert not any(value.startswith(("javascript", "data", "file", "ftp")) for value in page.properties.values())


def test_links_of_oembed() -> None:
    html = '<link rel="alternate" type="application/json+oembed" href="/oembed?format=json&amp;url=x">'
    assert read_page(html, URL).oembed == "https://example.org/oembed?format=json&url=x"


def test_oembed() -> None:
    answer = {"type": "video", "title": "A\n film", "provider_name": "Films", "thumbnail_url": "t.png", "html": "<b>"}
    page = read_oembed(json.dumps(answer).encode(), URL)
    assert page is not None
    assert page.properties == {"og:title": "A film", "og:site_name": "Films", "og:type": "video.other"}
    assert page.image == "https://example.org/a/t.png"
    photo = read_oembed(b'{"type":"photo","url":"https://x.org/p.png","title":3}', URL)
    assert photo is not None
    assert (photo.image, photo.properties) == ("https://x.org/p.png", {})
    for bad in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b'"x"'):
        assert read_oembed(bad, URL) is None


def test_values_are_bounded() -> None:
    names = [chr(97 + number % 26) + "y" * (number // 26) for number in range(300)]
    many = "".join(f'<meta property="og:{name}" content="{"v" * 5000}">' for name in names)
    found = properties(many)
    assert len(found) <= 51
    assert max(map(len, found.values())) <= VALUE_LIMIT
    assert properties("<title>" + "x" * 100_000)["og:title"].endswith("…")


@pytest.mark.parametrize(
    "html",
    [
        "<" * 200_000,
        "<meta " * 100_000,
        '<meta x="' * 50_000,
        "<meta" + " a" * 200_000,
        "<script" * 50_000,
        "<!--" * 100_000,
        "<p>" * 100_000,
        "<p " + "x" * 200_000,
        "<title>" * 50_000,
        "&" * 300_000,
        "<meta property=og:title content=" + "&#" * 100_000,
        "\0" * 300_000,
        "<meta content='" + "<p>" * 60_000,
    ],
)
def test_hostile_pages_end(html: str) -> None:
    assert set(properties(html)) <= {"og:title", "og:description"}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    properties(text)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_tags_are_read(html: str) -> None:
    for value in properties(html).values():
        assert value == plain(value, VALUE_LIMIT)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_any_bytes_are_text(body: bytes, content_type: str) -> None:
    decoded(body, content_type)
    decoded(body, f"text/html; charset={content_type}")


def test_character_sets() -> None:
    assert decoded("ä€".encode("cp1252"), "text/html; charset=windows-1252") == "ä€"
    assert decoded("ä".encode("latin-1"), 'text/html; charset="ISO-8859-1"') == "ä"
    assert decoded(b'<meta charset="koi8-r">' + "ж".encode("koi8-r"), "text/html").endswith("ж")
    assert decoded("\ufeffж".encode("utf-16"), "text/html; charset=utf-8").endswith("ж")
    for odd in ("base64", "hex", "rot13", "idna", "punycode", "undefined", "unicode_escape", "no-such"):
        assert isinstance(decoded(b"4142 \\u0041", f"text/html; charset={odd}"), str)


def test_plain_text() -> None:
    assert plain(" a\n\tb\u202eb\0 \ud800", 100) == "a bb ?"
    assert plain("one two three", 9) == "one two…"
    assert plain("x" * 20, 5) == "xxxx…"
