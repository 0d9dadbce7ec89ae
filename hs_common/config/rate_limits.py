"""How fast one user or address may call: one token bucket per class of endpoints, named as endpoints declare them."""

from typing import Annotated

from hs_common.config.option import Section, describe


class Bucket(Section, frozen=True):
    """A token bucket: `burst` calls at once, refilled with `per_second` calls each second."""

    per_second: Annotated[float, describe("Calls a second in the long run.", minimum=0.001, maximum=1e6)]
    burst: Annotated[int, describe("Calls at once after a pause.", minimum=1, maximum=1_000_000)]


class RateLimits(Section, frozen=True):
    """Calls per user (or address, before login): { per_second, burst }. Application services are exempt unless told."""

    disabled: Annotated[bool, describe("Whether nothing is limited at all, as in tests.")] = False
    default: Annotated[Bucket, describe("All that is not named below.")] = Bucket(per_second=20, burst=100)
    message: Annotated[Bucket, describe("Sending events and redactions.")] = Bucket(per_second=5, burst=30)
    join: Annotated[Bucket, describe("Joining and knocking.")] = Bucket(per_second=0.5, burst=20)
    invite: Annotated[Bucket, describe("Inviting.")] = Bucket(per_second=0.5, burst=20)
    login: Annotated[Bucket, describe("Logging in, per address and per account.")] = Bucket(per_second=0.2, burst=10)
    login_failure: Annotated[Bucket, describe("Wrong passwords, per account.")] = Bucket(per_second=0.05, burst=5)
    unknown_token: Annotated[
        Bucket, describe("Requests with an access token that nobody has, per address; each costs a query.")
    ] = Bucket(per_second=5, burst=100)
    registration: Annotated[Bucket, describe("Registering, per address.")] = Bucket(per_second=0.05, burst=5)
    mail: Annotated[
        Bucket, describe("Mails that clients ask for to confirm an address, per client's and per mail address.")
    ] = Bucket(per_second=0.01, burst=5)
    create_room: Annotated[Bucket, describe("Creating and upgrading rooms.")] = Bucket(per_second=0.1, burst=10)
    media: Annotated[Bucket, describe("Uploading media.")] = Bucket(per_second=2, burst=30)
    download: Annotated[Bucket, describe("Downloading media and thumbnails; a client's list of rooms is some 300.")] = (
        Bucket(per_second=50, burst=1000)
    )
    preview: Annotated[Bucket, describe("Previews of URLs; a page of messages may have tens.")] = Bucket(
        per_second=2, burst=60
    )
    search: Annotated[Bucket, describe("Searches in messages, users and public rooms.")] = Bucket(
        per_second=1, burst=10
    )
    keys: Annotated[Bucket, describe("Keys, key backup, messages to devices.")] = Bucket(per_second=10, burst=100)
    federation: Annotated[
        Bucket, describe("All requests of another server; of its events each brings up to 50 at once.")
    ] = Bucket(per_second=50, burst=500)
