"""Media over TLS between two Viaducts: what one's user uploads the other's user gets, once fetched also when the first
server is gone."""

import os

from tests.federation.pair import Pair
from tests.federation.test_two_servers import play
from tests.scenarios.client import User
from tests.scenarios.test_play_media import get, upload
from tests.workers.media.pictures import opened, picture


def test_media_both_ways(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        for user, url, other, other_url in ((alice, pair.a.url, bob, pair.b.url), (bob, pair.b.url, alice, pair.a.url)):
            data = os.urandom(3_000_000)
            uri = await upload(user, url, data, "application/octet-stream")
            response, body = await get(other, other_url, f"download/{uri}")
            assert (response.status, body) == (200, data)
            assert response.headers["Content-Disposition"] == 'attachment; filename="a.png"'
            shown = await upload(user, url, picture(800, 600), "image/png")
            response, body = await get(other, other_url, f"thumbnail/{shown}?width=96&height=96&method=crop")
            assert opened(body).size == (96, 96)
            response, _ = await get(other, other_url, f"download/{uri.partition('/')[0]}/nothing")
            assert response.status == 404

    play(pair, steps)
