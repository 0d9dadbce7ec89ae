"""Mail addresses of accounts: confirming, registering with, adding, resetting the password by, removing."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from hs_common.config.rate_limits import Bucket
from hs_common.email.mail import MailFailed
from hs_common.http.endpoint import Rate
from hs_common.http.rate_limits import RateLimits
from tests.workers.client.conftest import Play
from tests.workers.client.postbox import ADDRESS, EMAIL, SECRET, Postbox, confirmed, request_token
from tests.workers.client.world import PASSWORD, World, with_password

ALICE = "@alice:example.org"
NEW = {"new_password": "battery staple"}


def by_mail(credentials: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"type": "m.login.email.identity", "threepid_creds": credentials, **more}


async def register(world: World, postbox: Postbox, name: str = "alice", **more: Any) -> str:
    """An account with an address; its token."""
    auth = by_mail(await confirmed(world, postbox, **more))
    answer = await world.ask("POST", "/register", {"username": name, "password": PASSWORD, "auth": auth})
    assert answer.status == 200, answer
    return str(answer.json["access_token"])


def play_with_mail(play: Play, scenario: Any, **sections: Any) -> None:
    """A scenario of a world and its postbox."""
    postbox = Postbox()
    email = {**EMAIL, **sections.pop("email", {})}
    play(lambda world: scenario(world, postbox), {"mailer": postbox.mailer}, email=email, **sections)


def test_registering_with_an_address_and_logging_in_by_it(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        first = await world.ask("POST", "/register", {"username": "alice", "password": PASSWORD})
        assert first.json["flows"] == [{"stages": ["m.login.email.identity"]}]
        asked = await request_token(world, address="Alice@Example.ORG")
        auth = by_mail({"sid": asked.json["sid"], "client_secret": SECRET}, session=first.json["session"])
        body = {"username": "alice", "password": PASSWORD, "auth": auth}
        early = await world.ask("POST", "/register", body)
        assert (early.status, early.errcode, early.json["session"]) == (401, "M_UNAUTHORIZED", first.json["session"])
        page = await postbox.follow(world)
        assert b"confirmed" in page.body
        done = await world.ask("POST", "/register", body)
        assert done.status == 200
        token = done.json["access_token"]
        kept = (await world.ask("GET", "/account/3pid", token=token)).json["threepids"]
        times = {"validated_at": world.now_ms, "added_at": world.now_ms}
        assert kept == [{"medium": "email", "address": ADDRESS, **times}]
        for identifier in (
            {"type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.org"},
            {"medium": "email", "address": ADDRESS},
        ):
            login = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
            assert (await world.ask("POST", "/login", login)).json["user_id"] == ALICE
        wrong = {"type": "m.login.password", "medium": "email", "address": "b@example.org", "password": PASSWORD}
        assert (await world.ask("POST", "/login", wrong)).status == 403

    play_with_mail(play, scenario, registration={"requires_email": True})


def test_an_address_need_not_be_given_where_it_need_not(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        await world.register()
        await register(world, postbox, "bob")
        assert (await request_token(world)).errcode == "M_THREEPID_IN_USE"
        assert (await request_token(world, "account/3pid")).errcode == "M_THREEPID_IN_USE"
        assert len(postbox.mails) == 1

    play_with_mail(play, scenario)


def test_two_who_register_with_one_address(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        one = await confirmed(world, postbox, secret="one")
        two = await confirmed(world, postbox, secret="two")
        bodies = [
            {"username": name, "password": PASSWORD, "auth": by_mail(credentials)}
            for name, credentials in (("alice", one), ("bob", two))
        ]
        assert (await world.ask("POST", "/register", bodies[0])).status == 200
        assert (await world.ask("POST", "/register", bodies[1])).errcode == "M_THREEPID_IN_USE"

    play_with_mail(play, scenario)


def test_one_mail_for_each_attempt(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        sid = (await request_token(world, attempt=3)).json["sid"]
        first = postbox.link()
        for attempt in (3, 2):
            assert (await request_token(world, attempt=attempt)).json == {"sid": sid}
        assert len(postbox.mails) == 1
        assert (await request_token(world, attempt=4)).json == {"sid": sid}
        assert len(postbox.mails) == 2
        assert (await request_token(world, secret="other")).json["sid"] != sid
        assert len(postbox.mails) == 3
        # The links of all its mails are good, and may be followed twice.
        for _ in range(2):
            assert (await postbox.follow(world, first)).status == 200

    play_with_mail(play, scenario)


def test_one_mail_for_an_attempt_that_is_asked_for_several_times_at_once(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        for attempt in (1, 2):
            asked = [Deferred.fromCoroutine(request_token(world, attempt=attempt)) for _ in range(4)]
            answers = await gatherResults(asked)
            assert {answer.status for answer in answers} == {200}
            assert len({answer.json["sid"] for answer in answers}) == 1
            assert len(postbox.mails) == attempt
            assert (await postbox.follow(world)).status == 200

    play_with_mail(play, scenario)


def test_a_mail_that_was_not_sent_is_sent_at_the_next_request(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        postbox.failures = [MailFailed("busy"), MailFailed("no such person", is_permanent=True)]
        assert (await request_token(world)).status == 503
        assert (await request_token(world)).errcode == "M_INVALID_PARAM"
        assert (await request_token(world)).status == 200
        assert (await postbox.follow(world)).status == 200

    play_with_mail(play, scenario)


def test_links_that_are_wrong_or_old(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        sid = (await request_token(world)).json["sid"]
        link = postbox.link()
        path = link.partition("?")[0].removeprefix("https://matrix.example.org")
        for fields in ({}, {"sid": sid, "client_secret": SECRET, "token": "x"}, {"sid": sid, "token": "x"}):
            assert (await world.submit(path, fields)).status == 400
        wrong = link.replace(SECRET, "another")
        assert (await postbox.follow(world, wrong)).status == 400
        world.now_ms += 3_600_000
        assert (await postbox.follow(world)).status == 400
        await request_token(world, attempt=2)
        assert (await postbox.follow(world)).status == 200

    play_with_mail(play, scenario)


def test_looking_at_the_page_confirms_nothing(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        sid = (await request_token(world)).json["sid"]
        await world.raw("GET", postbox.link().removeprefix("https://matrix.example.org"))
        auth = by_mail({"sid": sid, "client_secret": SECRET})
        body = {"username": "alice", "password": PASSWORD, "auth": auth}
        assert (await world.ask("POST", "/register", body)).status == 401
        page = await world.raw("GET", "/_viaduct/client/email/confirm?token=%22%3E%3Cscript%3E")
        assert isinstance(page.body, bytes)
        assert b"<script>" not in page.body
        assert "script-src 'nonce-" in page.headers["Content-Security-Policy"]

    play_with_mail(play, scenario)


def test_where_the_browser_goes_afterwards(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        for bad in ("https://evil.example/", "javascript:alert(1)", "/relative", "https://[", "http://good.org\n/"):
            assert (await request_token(world, next_link=bad)).errcode == "M_INVALID_PARAM"
        await request_token(world, next_link="https://app.example.org/done?x=1")
        page = await postbox.follow(world)
        assert (page.status, page.headers["Location"]) == (303, "https://app.example.org/done?x=1")

    play_with_mail(play, scenario, email={"next_link_hosts": ["App.example.org"]})


def test_what_is_refused_at_once(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        for kind in ("register", "account/3pid", "account/password"):
            assert (await request_token(world, kind, secret="bad secret")).errcode == "M_INVALID_PARAM"
            assert (await request_token(world, kind, address="no address")).errcode == "M_INVALID_PARAM"
            assert (await request_token(world, kind, attempt=-1)).errcode == "M_INVALID_PARAM"
            assert (await request_token(world, kind, address="a@elsewhere.org")).errcode == "M_THREEPID_DENIED"
            phone = {"client_secret": SECRET, "country": "GB", "phone_number": "07700900001", "send_attempt": 1}
            refused = await world.ask("POST", f"/{kind}/msisdn/requestToken", phone)
            assert refused.errcode is not None
            assert refused.errcode.startswith("M_THREEPID_")
        assert postbox.mails == []

    play_with_mail(play, scenario, email={"allowed_domains": ["Example.org"]})


def test_without_mail_and_without_registration(play: Play) -> None:
    async def scenario(world: World) -> None:
        wanted = {
            "register": "M_FORBIDDEN",
            "account/3pid": "M_THREEPID_MEDIUM_NOT_SUPPORTED",
            "account/password": "M_THREEPID_NOT_FOUND",
        }
        for kind, errcode in wanted.items():
            assert (await request_token(world, kind)).errcode == errcode

    play(scenario, registration={"enabled": False})


def test_nobody_learns_who_has_an_account_if_the_operator_wishes(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        await register(world, postbox)
        answer = await request_token(world, secret="new")
        assert (answer.status, len(answer.json["sid"])) == (200, 32)
        assert "belongs to an account already" in postbox.text()
        assert (await request_token(world, "account/password", address="b@example.org")).status == 200
        assert len(postbox.mails) == 2

    play_with_mail(play, scenario, email={"hides_addresses": True})


def test_adding_an_address_takes_the_password(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        token = (await world.login_ok())["access_token"]
        answer = await request_token(world, "account/3pid")
        credentials = {"sid": answer.json["sid"], "client_secret": SECRET}
        assert (await world.ask("POST", "/account/3pid/add", credentials, token)).errcode == "M_THREEPID_AUTH_FAILED"
        await postbox.follow(world)
        asked = await world.ask("POST", "/account/3pid/add", credentials, token)
        assert (asked.status, asked.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
        done = {**credentials, "auth": with_password(session=asked.json["session"])}
        assert (await world.ask("POST", "/account/3pid/add", done, token)).json == {}
        # The session is used up, also in the old form of the request.
        old = {"three_pid_creds": credentials, "auth": with_password()}
        assert (await world.ask("POST", "/account/3pid", old, token)).errcode == "M_THREEPID_AUTH_FAILED"
        assert len((await world.ask("GET", "/account/3pid", token=token)).json["threepids"]) == 1
        removed = {"medium": "email", "address": "ALICE@example.org"}
        answer = await world.ask("POST", "/account/3pid/delete", removed, token)
        assert answer.json == {"id_server_unbind_result": "no-support"}
        assert (await world.ask("GET", "/account/3pid", token=token)).json == {"threepids": []}

    play_with_mail(play, scenario)


def test_a_session_serves_what_it_was_begun_for(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        token = (await world.login_ok())["access_token"]
        to_add = await confirmed(world, postbox, "account/3pid")
        to_register = await confirmed(world, postbox, "register")
        refused = await world.ask("POST", "/account/3pid/add", {**to_register, "auth": with_password()}, token)
        assert refused.errcode == "M_THREEPID_AUTH_FAILED"
        body = {"username": "bob", "password": PASSWORD, "auth": by_mail(to_add)}
        assert (await world.ask("POST", "/register", body)).status == 401
        reset = {**NEW, "auth": by_mail(to_register)}
        assert (await world.ask("POST", "/account/password", reset)).status == 403
        bad = {**to_add, "sid": "a b"}
        assert (await world.ask("POST", "/account/3pid/add", bad, token)).errcode == "M_INVALID_PARAM"

    play_with_mail(play, scenario)


def test_a_forgotten_password(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        token = await register(world, postbox)
        credentials = await confirmed(world, postbox, "account/password", secret="reset")
        answer = await world.ask("POST", "/account/password", {**NEW, "auth": by_mail(credentials)})
        assert answer.json == {}
        assert (await world.ask("GET", "/account/whoami", token=token)).status == 401
        assert (await world.login(password=PASSWORD)).status == 403
        assert (await world.login(password=NEW["new_password"])).status == 200
        # Once.
        again = {"new_password": "something else", "auth": by_mail(credentials)}
        assert (await world.ask("POST", "/account/password", again)).status == 401

    play_with_mail(play, scenario)


def test_whose_password_is_not_reset(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        await register(world, postbox)
        bob = (await world.login_ok("bob"))["access_token"]
        credentials = await confirmed(world, postbox, "account/password", secret="reset")
        answer = await world.ask("POST", "/account/password", {**NEW, "auth": by_mail(credentials)}, bob)
        assert (answer.status, answer.errcode) == (401, "M_UNAUTHORIZED")
        await world.db.execute("UPDATE users SET locked = true WHERE user_id = %s", (ALICE,))
        locked = await world.ask("POST", "/account/password", {**NEW, "auth": by_mail(credentials)})
        assert locked.errcode == "M_USER_LOCKED"
        await world.db.execute("UPDATE users SET deactivated = true, locked = false WHERE user_id = %s", (ALICE,))
        gone = await world.ask("POST", "/account/password", {**NEW, "auth": by_mail(credentials)})
        assert (gone.status, gone.errcode) == (401, "M_UNAUTHORIZED")

    play_with_mail(play, scenario)


def test_where_addresses_cannot_be_changed(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        token = (await world.login_ok())["access_token"]
        assert (await request_token(world, "account/3pid")).errcode == "M_THREEPID_MEDIUM_NOT_SUPPORTED"
        removed = {"medium": "email", "address": ADDRESS}
        assert (await world.ask("POST", "/account/3pid/delete", removed, token)).errcode == "M_FORBIDDEN"
        can = (await world.ask("GET", "/capabilities", token=token)).json["capabilities"]["m.3pid_changes"]
        assert can == {"enabled": False}

    play_with_mail(play, scenario, accounts={"threepid_changes": False})


def test_mails_to_one_address_are_few(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        for number in range(10):
            await request_token(world, secret=f"s{number}")
        assert len(postbox.mails) == 2
        assert (await request_token(world)).errcode == "M_LIMIT_EXCEEDED"
        assert (await request_token(world, address="b@example.org")).status == 200

    limits = RateLimits({Rate.MAIL: Bucket(per_second=0.01, burst=2)}, lambda: 0)
    postbox = Postbox()
    outside = {"mailer": postbox.mailer, "failures": limits}
    play(lambda world: scenario(world, postbox), outside, email=EMAIL)


def test_old_sessions_are_swept(play: Play) -> None:
    async def scenario(world: World, postbox: Postbox) -> None:
        await request_token(world)
        world.now_ms += 24 * 3_600_000
        await request_token(world, secret="new")
        assert await world.db.fetch("SELECT count(*) FROM threepid_sessions") == [(1,)]

    play_with_mail(play, scenario)
