"""Application services (bridges, bots) that are registered by files."""

from typing import Annotated

from hs_common.config.option import Section, describe


class AppServices(Section, frozen=True):
    """Application services. Others are registered while the server runs, by `viaduct admin appservice add`."""

    registrations: Annotated[
        tuple[str, ...],
        describe(
            "Registration files (YAML) as bridges write them, relative to this file. The master reads them when it "
            "starts; a service whose file is taken off the list is removed then."
        ),
    ] = ()
