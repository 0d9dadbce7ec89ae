"""A real Synapse and Viaduct fetch each other's media, with and without thumbnails, as the specification has it."""

import os
from typing import Any

from tests.real_servers.neighbours import Neighbours, play
from tests.scenarios.client import User
from tests.scenarios.test_play_media import get, upload
from tests.workers.media.pictures import opened, picture


def test_media_both_ways(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        here, there = neighbours.viaduct.url, neighbours.synapse.url
        for user, url, other, other_url in ((alice, here, bob, there), (bob, there, alice, here)):
            data = os.urandom(2_000_000)
            uri = await upload(user, url, data, "application/pdf")
            response, body = await get(other, other_url, f"download/{uri}")
            assert (response.status, body) == (200, data)
            assert response.headers["Content-Type"] == "application/pdf"
            assert "a.png" in response.headers["Content-Disposition"]
            shown = await upload(user, url, picture(800, 600), "image/png")
            response, body = await get(other, other_url, f"thumbnail/{shown}?width=96&height=96&method=crop")
            assert response.status == 200
            assert opened(body).size == (96, 96)
            response, body = await get(other, other_url, f"download/{uri.partition('/')[0]}/nothing")
            assert response.status == 404

    play(neighbours, steps)


def test_avatars_both_ways(neighbours: Neighbours) -> None:
    """As a client shows them: the address comes from the other server's profile."""

    async def steps(alice: User, bob: User) -> None:
        here, there = neighbours.viaduct.url, neighbours.synapse.url
        for user, url, other, other_url in ((alice, here, bob, there), (bob, there, alice, here)):
            uri = await upload(user, url, picture(64, 64), "image/png")
            await user.put(("profile", user.user_id, "avatar_url"), {"avatar_url": f"mxc://{uri}"})
            profile: dict[str, Any] = await other.get(("profile", user.user_id))
            address = profile["avatar_url"].removeprefix("mxc://")
            response, body = await get(other, other_url, f"download/{address}")
            assert (response.status, body) == (200, picture(64, 64))

    play(neighbours, steps)
