"""Accounts of people at identity providers: an account and whose it is are made in one step, and nobody gets two."""

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser
from hs_common.replication.sign_on_calls import ExternalId, SetExternalIds
from hs_common.storage.external_ids import external_ids_of, user_of_external_id
from hs_common.storage.users import account
from tests.master.harness import master
from tests.reactor import run

ALICE, BOB = "@alice:test", "@bob:test"
PERSON, OTHER = ExternalId("main", "person"), ExternalId("main", "other")


def test_an_account_is_made_with_its_owner_or_not_at_all(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(RegisterUser(user_id=ALICE, password_hash=None, external_id=PERSON))
            assert await user_of_external_id(m.db, "main", "person") == ALICE
            with pytest.raises(MatrixError) as refused:
                await m.call(RegisterUser(user_id=BOB, password_hash=None, external_id=PERSON))
            assert refused.value.errcode == "M_USER_IN_USE"
            assert await account(m.db, BOB) is None

    run(play())


def test_owners_change_and_stay_apart(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            for user_id in (ALICE, BOB):
                await m.call(RegisterUser(user_id=user_id, password_hash=None))
            await m.call(SetExternalIds(user_id=ALICE, added=[PERSON, OTHER]))
            with pytest.raises(MatrixError):
                await m.call(SetExternalIds(user_id=BOB, added=[OTHER]))
            await m.call(SetExternalIds(user_id=BOB, removed=[OTHER]))  # which is not his
            await m.call(SetExternalIds(user_id=ALICE, added=[PERSON], removed=[OTHER]))
            assert await external_ids_of(m.db, ALICE) == [("main", "person")]
            await m.call(SetExternalIds(user_id=BOB, added=[OTHER]))
            assert await external_ids_of(m.db, BOB) == [("main", "other")]

    run(play())
