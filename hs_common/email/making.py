"""Makes the mailer of a process from the config."""

from collections.abc import Callable
from typing import Any

from hs_common.config import Config
from hs_common.email.mailer import Mailer
from hs_common.email.templates import Templates


def make_mailer(
    reactor: Any, config: Config, now_ms: Callable[[], int], random: Callable[[int], bytes], trust_root: Any = None
) -> Mailer | None:
    """None where no SMTP server is configured. `trust_root`: whose certificates are believed; None: the system's."""
    settings, name = config.email, config.server.name
    if not settings.smtp_host:
        return None
    from hs_common.email.smtp import Smtp  # loaded where it is used, it is large

    smtp = Smtp(reactor, settings, name.partition(":")[0], trust_root)
    return Mailer(settings, Templates(settings.application_name, name), smtp, now_ms, random)
