"""Push rules.

Spec: client-server API, #push-rules-api.
"""

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.push_rule_edits import delete_rule, find_rule, put_rule, set_actions, set_enabled
from hs_workers.client.accounts.push_rules import UserPushRules


class PushRules:
    """The requester's own rules, all or one, and edits to them."""

    def __init__(self, rules: UserPushRules) -> None:
        self._rules = rules

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/",
        auth=Auth.USER,
        aliases=(r0, "/_matrix/client/v3/pushrules", "/_matrix/client/r0/pushrules"),
        spec="client-server-api/#get_matrixclientv3pushrules",
    )
    async def all(self, request: Request) -> Reply:
        """All rule sets, of which there is one."""
        return await self._rules.content(request.requester.user_id)

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/",
        auth=Auth.USER,
        aliases=(r0, "/_matrix/client/v3/pushrules/global", "/_matrix/client/r0/pushrules/global"),
        spec="client-server-api/#get_matrixclientv3pushrulesglobal",
    )
    async def all_global(self, request: Request) -> Reply:
        """The global rule set."""
        return await self._rules.rule_set(request.requester.user_id)

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleid",
    )
    async def get(self, request: Request) -> Reply:
        """One rule."""
        rule_set = await self._rules.rule_set(request.requester.user_id)
        return find_rule(rule_set, request.path["kind"], request.path["ruleId"])

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleid",
    )
    async def put(self, request: Request) -> Reply:
        """Adds or changes a rule of the user's own."""
        kind, rule_id, body = request.path["kind"], request.path["ruleId"], request.json()
        before, after = request.query.string("before", None), request.query.string("after", None)
        await self._rules.edit(
            request.requester.user_id, lambda rules: put_rule(rules, kind, rule_id, body, before, after)
        )
        return {}

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid",
    )
    async def delete(self, request: Request) -> Reply:
        """Removes a rule of the user's own."""
        kind, rule_id = request.path["kind"], request.path["ruleId"]
        await self._rules.edit(request.requester.user_id, lambda rules: delete_rule(rules, kind, rule_id))
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled",
    )
    async def get_enabled(self, request: Request) -> Reply:
        """Whether a rule is looked at."""
        rule_set = await self._rules.rule_set(request.requester.user_id)
        return {"enabled": find_rule(rule_set, request.path["kind"], request.path["ruleId"])["enabled"]}

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled",
    )
    async def set_enabled(self, request: Request) -> Reply:
        """Turns a rule on or off."""
        kind, rule_id, body = request.path["kind"], request.path["ruleId"], request.json()
        await self._rules.edit(request.requester.user_id, lambda rules: set_enabled(rules, kind, rule_id, body))
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions",
    )
    async def get_actions(self, request: Request) -> Reply:
        """What a rule does."""
        rule_set = await self._rules.rule_set(request.requester.user_id)
        return {"actions": find_rule(rule_set, request.path["kind"], request.path["ruleId"])["actions"]}

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions",
    )
    async def set_actions(self, request: Request) -> Reply:
        """Changes what a rule does."""
        kind, rule_id, body = request.path["kind"], request.path["ruleId"], request.json()
        await self._rules.edit(request.requester.user_id, lambda rules: set_actions(rules, kind, rule_id, body))
        return {}
