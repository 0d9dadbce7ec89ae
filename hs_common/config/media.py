"""What users upload: how much of it, where it is kept, who may have it."""

from typing import Annotated

from hs_common.config.option import Section, describe


class Media(Section, frozen=True):
    """Files that users upload, and their thumbnails."""

    folder: Annotated[
        str,
        describe("Where they are kept; relative to this file. All media workers need the same one, or a shared disk."),
    ] = "media"
    upload_bytes: Annotated[
        int, describe("The largest upload, as clients are told it.", unit="bytes", minimum=1_024, maximum=1 << 40)
    ] = 50 << 20
    user_bytes: Annotated[
        int, describe("What all uploads of a user may take together; 0: no limit.", unit="bytes", minimum=0)
    ] = 0
    pending_uploads: Annotated[
        int,
        describe("Media ids that a user may have created without having uploaded to them.", minimum=1, maximum=1_000),
    ] = 20
    pending_lifetime_ms: Annotated[
        int, describe("How long such an id waits for its upload.", unit="ms", minimum=60_000)
    ] = 86_400_000
    unauthenticated_access: Annotated[
        bool,
        describe(
            "Whether media that are uploaded from now on can be had without an access token, by the deprecated paths "
            "/_matrix/media/…/download and thumbnail. Switching it off freezes: earlier ones can still be had."
        ),
    ] = False
    thumbnail_pixels: Annotated[
        int,
        describe(
            "Pictures with more pixels get no thumbnails. One of 50 million takes some 500 MB while it is scaled.",
            minimum=10_000,
            maximum=200_000_000,
        ),
    ] = 50_000_000
    thumbnail_processes: Annotated[
        int, describe("Processes of a worker that make thumbnails.", minimum=1, maximum=64)
    ] = 2
