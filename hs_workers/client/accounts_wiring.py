"""Puts the endpoints of accounts together: what belongs to an account. How one gets and keeps one is in
`sign_in_wiring`."""

from hs_common.config import Config
from hs_common.email.unsubscribing import Unsubscribing
from hs_workers.client import administration_wiring, sign_in_wiring
from hs_workers.client.account_data import AccountData
from hs_workers.client.account_parts import AccountParts, Outside
from hs_workers.client.accounts.account_data import UserAccountData
from hs_workers.client.accounts.push_rules import UserPushRules
from hs_workers.client.admin import AccountModeration, Whois
from hs_workers.client.capabilities import Capabilities
from hs_workers.client.device_management import DeviceManagement
from hs_workers.client.filter import Filters
from hs_workers.client.openid import OpenId
from hs_workers.client.presence import Presence
from hs_workers.client.profile import Profile
from hs_workers.client.pusher import Pushers
from hs_workers.client.pushrules import PushRules
from hs_workers.client.support import Support
from hs_workers.client.tags import Tags
from hs_workers.client.third_party_lookup import ThirdPartyLookup
from hs_workers.client.typing import Typing
from hs_workers.client.uia import UserInteractiveAuthentication
from hs_workers.client.unsubscribe import Unsubscribe
from hs_workers.client.versions import Versions
from hs_workers.client.voip import VoiceOverIp
from hs_workers.client.wellknown import WellKnown
from hs_workers.client.whoami import WhoAmI

ENDPOINT_CLASSES: tuple[type, ...] = (
    *(AccountData, AccountModeration, Capabilities, DeviceManagement, Filters, OpenId, Presence, Profile),
    *(PushRules, Pushers, Support, Tags, ThirdPartyLookup, Typing, Unsubscribe, Versions, WellKnown),
    *(VoiceOverIp, WhoAmI, Whois),
    *sign_in_wiring.ENDPOINT_CLASSES,
    *administration_wiring.ENDPOINT_CLASSES,
)
"""What processes of other roles declare to their routers."""


def interactive_auth(config: Config, outside: Outside) -> UserInteractiveAuthentication:
    """What guards operations of other groups of endpoints."""
    return AccountParts(config, outside).uia


def account_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, master, name = outside.db, outside.master, config.server.name
    parts = AccountParts(config, outside)
    data = UserAccountData(db, master)
    push_rules = UserPushRules(data)
    return [
        AccountData(data, push_rules),
        AccountModeration(db, master, name),
        Capabilities(
            config.server.default_room_version,
            config.limits,
            can_change_threepids=parts.can_change_threepids,
            can_change_password=parts.has_passwords,
            can_give_login_tokens=not parts.is_delegated,
        ),
        DeviceManagement(db, master, parts.uia),
        Filters(db),
        OpenId(db, parts.tokens, name, outside.now_ms),
        Presence(config.presence.enabled, db, master, outside.presence, outside.now_ms),
        Profile(db, master, name, outside.profiles),
        PushRules(push_rules),
        Pushers(db, master, has_mail=outside.mailer is not None, allows_http=config.push.allow_any_gateway),
        Support(config.server),
        Tags(data),
        ThirdPartyLookup(outside.queries),
        Typing(db, master),
        Unsubscribe(parts.pages, Unsubscribing(config.cluster.secret, config.server.public_baseurl), master),
        Versions(outside.unstable_features or {}),
        VoiceOverIp(config.turn, outside.now_ms),
        WellKnown(config.server, config.oauth),
        WhoAmI(),
        Whois(db, name),
        *sign_in_wiring.sign_in_endpoints(parts),
        *administration_wiring.administration_endpoints(parts),
    ]
