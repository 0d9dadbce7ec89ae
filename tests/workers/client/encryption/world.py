"""A client worker's endpoints of rooms and of encryption with a real master on a real PostgreSQL, and clients that have
keys: `DeviceWithKeys` signs as a real one does."""

from hashlib import sha256
from typing import Any

from hs_common.config import Config
from hs_common.federation.policy_servers import Unreachable
from hs_common.matrix import canonical_json
from hs_common.matrix.signing import SigningKey
from hs_workers.client.encryption.known_keys import KnownKeys
from hs_workers.client.encryption_wiring import Outside, encryption_endpoints
from hs_workers.client.uia import Flows, Guarded, UserInteractiveAuthentication
from hs_workers.client.uia_stages import PASSWORD, DummyStage
from tests.master.harness import SERVER, TestMaster, master
from tests.reactor import reactor, run
from tests.workers.client.room_world import Json, Link, RoomWorld, Scenario, User
from tests.workers.client.world import Answer
from tests.workers.client.world import config as config_of

ALGORITHM = "signed_curve25519"
SETTINGS = config_of(server={"name": SERVER})


class NotFollowing:
    """A process that never knows where the log is: everything is read anew."""

    is_live = False

    async def wait_for(self, pos: int, timeout: float) -> bool:
        return False


async def by_password(guarded: Guarded) -> Flows:
    """How everybody shows who he is."""
    return ((PASSWORD,),)


class EncryptionWorld(RoomWorld):
    """The password of everybody is right."""

    def __init__(self, m: TestMaster, settings: Config = SETTINGS, link: Link | None = None) -> None:
        super().__init__(m, settings, Unreachable())
        self.link = link or self.link
        stages = {PASSWORD: DummyStage()}
        uia = UserInteractiveAuthentication(
            self.db, stages, by_password, 60_000, lambda: self.now_ms, lambda size: sha256(b"uia").digest()[:size]
        )
        known_keys = KnownKeys(m.db, NotFollowing)
        outside = Outside(m.db, self.link, uia, SERVER, lambda: self.now_ms, known_keys, reactor.seconds)
        for instance in encryption_endpoints(outside):
            self.router.add(instance, role="client")


def play(database_url: str, scenario: Scenario) -> None:
    """Runs a scenario, which gets an EncryptionWorld."""

    async def played() -> None:
        async with master(database_url) as m:
            await scenario(EncryptionWorld(m))

    run(played(), timeout=60)


def key_of(name: str) -> SigningKey:
    """The same key for the same name."""
    return SigningKey("x", sha256(name.encode()).digest())


def public(key: SigningKey) -> str:
    """The public key, in base64."""
    return key.verify_key.to_base64()


def signed(value: Json, signer: str, key_id: str, key: SigningKey) -> Json:
    """The object with one more signature."""
    plain = {name: part for name, part in value.items() if name not in ("signatures", "unsigned")}
    signatures = {user: dict(keys) for user, keys in value.get("signatures", {}).items()}
    signatures.setdefault(signer, {})[key_id] = key.sign_bytes(canonical_json.encode(plain))
    return {**plain, "signatures": signatures}


class DeviceWithKeys:
    """A device of a user, with keys of its own."""

    def __init__(self, user: User, device_id: str = "D", generation: int = 0) -> None:
        self.user = user
        self.user_id = user.user_id
        self.device_id = device_id
        self.key = key_of(f"{self.user_id} {device_id} {generation}")

    def identity(self) -> Json:
        """What it uploads as `device_keys`."""
        plain = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                f"curve25519:{self.device_id}": public(key_of(f"curve of {public(self.key)}")),
                f"ed25519:{self.device_id}": public(self.key),
            },
        }
        return signed(plain, self.user_id, f"ed25519:{self.device_id}", self.key)

    def one_time(self, *numbers: int, fallback: bool = False) -> Json:
        """Keys by name."""
        keys = {}
        for number in numbers:
            plain: Json = {"key": public(key_of(f"{self.device_id} {number}"))}
            if fallback:
                plain["fallback"] = True
            keys[f"{ALGORITHM}:K{number}"] = signed(plain, self.user_id, f"ed25519:{self.device_id}", self.key)
        return keys

    async def upload(self, *numbers: int, **more: Any) -> Json:
        """Uploads identity keys and one-time keys; the counts."""
        body = {"device_keys": self.identity(), "one_time_keys": self.one_time(*numbers), **more}
        counts: Json = (await self.user.ok("POST", "/keys/upload", body))["one_time_key_counts"]
        return counts


class CrossSigner:
    """A user's three keys."""

    def __init__(self, user: User, generation: int = 0) -> None:
        self.user = user
        self.user_id = user.user_id
        names = ("master", "self_signing", "user_signing")
        self.keys = {usage: key_of(f"{self.user_id} {usage} {generation}") for usage in names}

    def name(self, usage: str) -> str:
        """The public key."""
        return public(self.keys[usage])

    def object(self, usage: str) -> Json:
        """The key as it is uploaded."""
        public_key = self.name(usage)
        plain = {"user_id": self.user_id, "usage": [usage], "keys": {f"ed25519:{public_key}": public_key}}
        return plain if usage == "master" else self.sign(plain, "master")

    def sign(self, value: Json, usage: str) -> Json:
        """The object signed by one of the keys."""
        return signed(value, self.user_id, f"ed25519:{self.name(usage)}", self.keys[usage])

    async def upload(self, *usages: str, **more: Any) -> Answer:
        """Uploads these keys, all if none is named."""
        body = {f"{usage}_key": self.object(usage) for usage in usages or self.keys}
        return await self.user.ask("POST", "/keys/device_signing/upload", {**body, **more})


async def query(reader: User, *user_ids: str, devices: list[str] | None = None) -> Json:
    """Keys of users."""
    wanted = {user_id: devices or [] for user_id in user_ids}
    answer: Json = await reader.ok("POST", "/keys/query", {"device_keys": wanted})
    return answer


async def claim(reader: User, user_id: str, device_id: str = "D", algorithm: str = ALGORITHM) -> Json:
    """The key that was given out, by its name."""
    body = {"one_time_keys": {user_id: {device_id: algorithm}}}
    answer: Json = await reader.ok("POST", "/keys/claim", body)
    given: Json = answer["one_time_keys"].get(user_id, {}).get(device_id, {})
    return given
