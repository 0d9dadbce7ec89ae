"""The whole config file as one frozen record. All processes of a server read the same file."""

from typing import Annotated

from hs_common.config.accounts import Accounts, Registration
from hs_common.config.appservices import AppServices
from hs_common.config.egress import Egress
from hs_common.config.email import Email
from hs_common.config.federation import Federation
from hs_common.config.identity import Server
from hs_common.config.limits import Limits, Presence
from hs_common.config.media import Media
from hs_common.config.oauth import OAuth
from hs_common.config.option import Section, describe
from hs_common.config.push import Push
from hs_common.config.rate_limits import RateLimits
from hs_common.config.server_notices import ServerNotices
from hs_common.config.services import Cluster, Database, Listen, Logging, Metrics, Redis
from hs_common.config.sso import Sso
from hs_common.config.terms import Captcha, Terms
from hs_common.config.turn import Turn
from hs_common.config.user_directory import UserDirectory


class Config(Section, frozen=True):
    """Viaduct's config file."""

    dev: Annotated[
        bool,
        describe(
            "For tests and demonstrations only: anybody may register, as a guest too, with any password, nothing is "
            "rate limited, passwords are hashed cheaply, only servers that federation.resolve places are talked with. "
            "Goes before what stands below."
        ),
    ] = False
    server: Server = Server()
    listen: Listen = Listen()
    database: Database = Database()
    redis: Redis = Redis()
    cluster: Cluster = Cluster()
    registration: Registration = Registration()
    accounts: Accounts = Accounts()
    email: Email = Email()
    sso: Sso = Sso()
    oauth: OAuth = OAuth()
    terms: Terms = Terms()
    captcha: Captcha = Captcha()
    rate_limits: RateLimits = RateLimits()
    limits: Limits = Limits()
    presence: Presence = Presence()
    user_directory: UserDirectory = UserDirectory()
    media: Media = Media()
    appservices: AppServices = AppServices()
    egress: Egress = Egress()
    push: Push = Push()
    turn: Turn = Turn()
    server_notices: ServerNotices = ServerNotices()
    federation: Federation = Federation()
    metrics: Metrics = Metrics()
    logging: Logging = Logging()
