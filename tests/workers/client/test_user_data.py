"""What users keep here: account data, tags, push rules, filters, profiles."""

from urllib.parse import quote

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import SetAccountData, SetProfile
from tests.workers.client.conftest import Play
from tests.workers.client.world import World, below_user

ALICE, BOB = "@alice:example.org", "@bob:example.org"
ROOM = "!room:example.org"
CONFLICT = MatrixError(409, "M_CONFLICT", "changed meanwhile")
RULES = "/pushrules/global"


def test_account_data_is_kept_globally_and_per_room(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        for path in ("account_data/org.x", f"rooms/{ROOM}/account_data/org.x"):
            path = below_user(ALICE, path)
            assert (await world.ask("GET", path, token=token)).errcode == "M_NOT_FOUND"
            content = {"where": path, "text": "a\0b", "float": 0.5}
            assert (await world.ask("PUT", path, content, token)).json == {}
            assert (await world.ask("GET", path, token=token)).json == content
            assert (await world.ask("PUT", path, {}, token)).json == {}
            assert (await world.ask("GET", path, token=token)).json == {}

    play(scenario)


def test_account_data_that_is_wrong_is_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        mine = below_user(ALICE, "account_data/")
        for method in ("GET", "PUT"):
            for path in (below_user(BOB, "account_data/x"), below_user(BOB, f"rooms/{ROOM}/account_data/x")):
                assert (await world.ask(method, path, {}, token)).errcode == "M_FORBIDDEN"
            no_room = below_user(ALICE, f"rooms/{ALICE}/account_data/x")
            assert (await world.ask(method, no_room, {}, token)).errcode == "M_INVALID_PARAM"
            assert (await world.ask(method, mine + "x" * 256, {}, token)).errcode == "M_INVALID_PARAM"
            assert (await world.ask(method, mine, {}, token)).errcode == "M_INVALID_PARAM"
        for data_type in ("m.fully_read", "m.push_rules"):
            for path in (f"account_data/{data_type}", f"rooms/{ROOM}/account_data/{data_type}"):
                refused = await world.ask("PUT", below_user(ALICE, path), {}, token)
                assert (refused.status, refused.errcode) == (405, "M_BAD_JSON")
        assert (await world.ask("PUT", mine + "x", b"[]", token)).errcode == "M_BAD_JSON"
        assert (await world.ask("PUT", mine + "x", b"nope", token)).errcode == "M_NOT_JSON"
        large = await world.ask("PUT", mine + "x", {"a": "x" * 600_000}, token)
        assert (large.status, large.errcode) == (413, "M_TOO_LARGE")
        assert world.master.of(SetAccountData) == []

    play(scenario)


def test_tags_are_added_and_removed_one_by_one(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        tags = below_user(ALICE, f"rooms/{ROOM}/tags")
        assert (await world.ask("GET", tags, token=token)).json == {"tags": {}}
        assert (await world.ask("PUT", f"{tags}/m.favourite", {"order": 0.25}, token)).json == {}
        assert (await world.ask("PUT", f"{tags}/{quote('u.Größe')}", token=token)).json == {}
        both = {"m.favourite": {"order": 0.25}, "u.Größe": {}}
        assert (await world.ask("GET", tags, token=token)).json == {"tags": both}
        data = await world.ask("GET", below_user(ALICE, f"rooms/{ROOM}/account_data/m.tag"), token=token)
        assert data.json == {"tags": both}
        assert (await world.ask("DELETE", f"{tags}/m.favourite", token=token)).json == {}
        assert (await world.ask("DELETE", f"{tags}/m.favourite", token=token)).json == {}
        assert (await world.ask("GET", tags, token=token)).json == {"tags": {"u.Größe": {}}}
        assert len(world.master.of(SetAccountData)) == 3

    play(scenario)


def test_tags_that_are_wrong_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        tags = below_user(ALICE, f"rooms/{ROOM}/tags")
        assert (await world.ask("PUT", f"{tags}/x", {"order": "first"}, token)).errcode == "M_BAD_JSON"
        assert (await world.ask("PUT", f"{tags}/x", {"order": True}, token)).errcode == "M_BAD_JSON"
        assert (await world.ask("PUT", f"{tags}/{'x' * 256}", {}, token)).errcode == "M_INVALID_PARAM"
        assert (await world.ask("PUT", f"{tags}/", {}, token)).errcode == "M_INVALID_PARAM"
        for method, rest in (("GET", ""), ("PUT", "/x"), ("DELETE", "/x")):
            foreign = below_user(BOB, f"rooms/{ROOM}/tags{rest}")
            assert (await world.ask(method, foreign, {}, token)).errcode == "M_FORBIDDEN"
        many: dict[str, dict[str, dict[str, str]]] = {"tags": {str(number): {} for number in range(1000)}}
        await world.ask("PUT", below_user(ALICE, f"rooms/{ROOM}/account_data/m.tag"), many, token)
        assert (await world.ask("PUT", f"{tags}/x", {}, token)).errcode == "M_INVALID_PARAM"

    play(scenario)


def test_an_edit_is_done_again_when_another_device_was_faster(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        tag = below_user(ALICE, f"rooms/{ROOM}/tags/x")
        world.master.failures = [CONFLICT] * 3
        assert (await world.ask("PUT", tag, {}, token)).status == 200
        assert len(world.master.of(SetAccountData)) == 4
        world.master.failures = [CONFLICT] * 10
        wild = await world.ask("PUT", tag, {"order": 1}, token)
        assert (wild.status, wild.errcode) == (429, "M_LIMIT_EXCEEDED")
        world.master.failures = [MatrixError(503, "M_UNKNOWN", "busy")]
        assert (await world.ask("PUT", tag, {"order": 1}, token)).status == 503

    play(scenario)


def test_push_rules_start_as_the_predefined_ones_and_are_edited(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        everything = (await world.ask("GET", "/pushrules/", token=token)).json
        assert everything == (await world.ask("GET", "/pushrules", token=token)).json
        assert everything["global"] == (await world.ask("GET", f"{RULES}/", token=token)).json
        data = await world.ask("GET", below_user(ALICE, "account_data/m.push_rules"), token=token)
        assert data.json == everything
        cake = {"actions": ["notify"], "pattern": "cake*lie"}
        assert (await world.ask("PUT", f"{RULES}/content/nocake", cake, token)).json == {}
        assert (await world.ask("PUT", f"{RULES}/content/pie?after=nocake", cake, token)).json == {}
        rule = {**cake, "rule_id": "nocake", "enabled": True, "default": False}
        assert (await world.ask("GET", f"{RULES}/content/nocake", token=token)).json == rule
        master = f"{RULES}/override/.m.rule.master"
        assert (await world.ask("PUT", f"{master}/enabled", {"enabled": True}, token)).json == {}
        assert (await world.ask("GET", f"{master}/enabled", token=token)).json == {"enabled": True}
        message = f"{RULES}/underride/.m.rule.message/actions"
        assert (await world.ask("PUT", message, {"actions": []}, token)).json == {}
        assert (await world.ask("GET", message, token=token)).json == {"actions": []}
        assert (await world.ask("DELETE", f"{RULES}/content/nocake", token=token)).json == {}
        assert (await world.ask("GET", f"{RULES}/content/nocake", token=token)).errcode == "M_NOT_FOUND"
        ids = [one["rule_id"] for one in (await world.ask("GET", f"{RULES}/", token=token)).json["content"]]
        assert ids == ["pie"]

    play(scenario)


def test_push_rules_that_are_wrong_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        for rest in ("", "/enabled", "/actions"):
            assert (await world.ask("GET", f"{RULES}/room/x{rest}", token=token)).errcode == "M_NOT_FOUND"
        assert (await world.ask("DELETE", f"{RULES}/room/x", token=token)).errcode == "M_NOT_FOUND"
        assert (await world.ask("PUT", f"{RULES}/room/.x", {"actions": []}, token)).errcode == "M_INVALID_PARAM"
        assert (await world.ask("PUT", f"{RULES}/room/x", {}, token)).errcode == "M_MISSING_PARAM"
        assert (await world.ask("GET", f"{RULES}/nonsense/x", token=token)).errcode == "M_INVALID_PARAM"
        assert world.master.of(SetAccountData) == []

    play(scenario)


def test_a_filter_is_kept_once_and_given_back_as_it_was(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        filters = below_user(ALICE, "filter")
        definition = {"room": {"timeline": {"limit": 10}}, "org.example.unknown": 1}
        answer = await world.ask("POST", filters, definition, token)
        assert answer.json.keys() == {"filter_id"}
        assert not answer.json["filter_id"].startswith("{")
        turned = dict(reversed(definition.items()))
        assert (await world.ask("POST", filters, turned, token)).json == answer.json
        assert (await world.ask("GET", f"{filters}/{answer.json['filter_id']}", token=token)).json == definition
        other = (await world.login_ok("bob"))["access_token"]
        foreign = below_user(BOB, f"filter/{answer.json['filter_id']}")
        assert (await world.ask("GET", foreign, token=other)).errcode == "M_NOT_FOUND"

    play(scenario)


def test_filters_that_are_wrong_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        filters = below_user(ALICE, "filter")
        assert (await world.ask("POST", filters, {"room": []}, token)).errcode == "M_BAD_JSON"
        large = await world.ask("POST", filters, {"x": "x" * 70_000}, token)
        assert (large.status, large.errcode) == (413, "M_TOO_LARGE")
        assert (await world.ask("POST", below_user(BOB, "filter"), {}, token)).errcode == "M_FORBIDDEN"
        assert (await world.ask("GET", below_user(BOB, "filter/1"), token=token)).errcode == "M_FORBIDDEN"
        known = (await world.ask("POST", filters, {"room": {}}, token)).json
        await world.db.execute(
            "INSERT INTO filters SELECT %s, number::text, '{}' FROM generate_series(1, 1000) number", (ALICE,)
        )
        assert (await world.ask("POST", filters, {"room": {}}, token)).json == known
        assert (await world.ask("POST", filters, {}, token)).errcode == "M_INVALID_PARAM"

    play(scenario)


def test_profiles_are_read_by_everybody_and_written_by_their_owners(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        mine = f"/profile/{ALICE}"
        assert (await world.ask("GET", mine)).json == {}
        assert (await world.ask("GET", f"{mine}/displayname")).errcode == "M_NOT_FOUND"
        wanted = {
            "displayname": "Alice",
            "avatar_url": "mxc://example.org/abc",
            "m.tz": "Europe/Berlin",
            "org.example.job": {"title": ["a", 1, None]},
            "org.example.nothing": None,
        }
        for field, value in wanted.items():
            assert (await world.ask("PUT", f"{mine}/{field}", {field: value}, token)).json == {}
            assert (await world.ask("GET", f"{mine}/{field}")).json == {field: value}
        assert (await world.ask("GET", mine)).json == wanted
        for field in ("displayname", "avatar_url"):
            assert (await world.ask("PUT", f"{mine}/{field}", {field: ""}, token)).json == {}
        assert (await world.ask("DELETE", f"{mine}/m.tz", token=token)).json == {}
        assert (await world.ask("DELETE", f"{mine}/m.tz", token=token)).json == {}
        assert (await world.ask("GET", mine)).json.keys() == {"org.example.job", "org.example.nothing"}

    play(scenario)


def test_profile_changes_that_are_wrong_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        for field, body, errcode in (
            ("displayname", {}, "M_MISSING_PARAM"),
            ("displayname", {"displayname": 5}, "M_BAD_JSON"),
            ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
            ("displayname", {"displayname": "\0"}, "M_INVALID_PARAM"),
            ("avatar_url", {"avatar_url": "https://example.org/a.png"}, "M_INVALID_PARAM"),
            ("avatar_url", {"avatar_url": "mxc://example.org/" + "x" * 1000}, "M_INVALID_PARAM"),
            ("m.tz", {"m.tz": None}, "M_BAD_JSON"),
            ("org.example.x", {"org.example.x": "x" * 65_536}, "M_PROFILE_TOO_LARGE"),
            ("org." + "x" * 255, {}, "M_KEY_TOO_LARGE"),
            ("nodots", {"nodots": 1}, "M_INVALID_PARAM"),
            ("Org.Example", {"Org.Example": 1}, "M_INVALID_PARAM"),
            ("org.example.x", b"{", "M_NOT_JSON"),
        ):
            answer = await world.ask("PUT", f"/profile/{ALICE}/{field}", body, token)
            assert (answer.status, answer.errcode) == (400, errcode), field
        assert (await world.ask("DELETE", f"/profile/{ALICE}/nodots", token=token)).errcode == "M_INVALID_PARAM"
        for method in ("PUT", "DELETE"):
            foreign = await world.ask(method, f"/profile/{BOB}/displayname", {"displayname": "x"}, token)
            assert (foreign.status, foreign.errcode) == (403, "M_FORBIDDEN")
        assert world.master.of(SetProfile) == []

    play(scenario)


def test_there_are_no_profiles_of_strangers(play: Play) -> None:
    async def scenario(world: World) -> None:
        for user_id in ("@nobody:example.org", "@alice:elsewhere.org"):
            for rest in ("", "/displayname"):
                answer = await world.ask("GET", f"/profile/{user_id}{rest}")
                assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert (await world.ask("GET", "/profile/alice")).errcode == "M_INVALID_PARAM"

    play(scenario)
