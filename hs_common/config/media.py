"""What users upload and other servers send: how much of it, where it is kept, for how long, who may have it."""

from typing import Annotated, Literal

from hs_common.config.option import Secret, Section, describe


class S3(Section, frozen=True):
    """An S3-compatible object store that media are kept in, instead of a folder. All media workers share it."""

    endpoint: Annotated[
        str,
        describe("Such as https://s3.eu-central-1.amazonaws.com. Empty: media are kept in `media.folder`."),
    ] = ""
    bucket: Annotated[str, describe("The bucket; it must exist.", pattern="[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|")] = ""
    region: Annotated[str, describe("As the store's signatures want it.", pattern="[a-zA-Z0-9-]{1,64}")] = "us-east-1"
    path_style: Annotated[
        bool, describe("Whether the bucket's name stands in the path (true), or before the endpoint's host (false).")
    ] = True
    prefix: Annotated[
        str, describe("Before all keys, such as viaduct/, where others use the bucket too.", pattern="[a-zA-Z0-9/._-]*")
    ] = ""
    access_key_id: Annotated[str, describe("Who asks.")] = ""
    secret_access_key: Annotated[Secret, describe("The key that belongs to it.")] = Secret("")
    secret_access_key_file: Annotated[str, describe("A file to read that key from instead; relative to this file.")] = (
        ""
    )
    spool_folder: Annotated[
        str,
        describe(
            "Where an upload is collected until its digest is known, in files without names; each worker has its own. "
            "Empty: where the system has temporary files, which should be on a disk."
        ),
    ] = ""
    redirects: Annotated[
        bool,
        describe(
            "Whether clients download from the store itself, by signed URLs that hold for some minutes. The store's "
            "CORS rules must then let browsers in, and its host should be one that has no other content."
        ),
    ] = False
    redirect_endpoint: Annotated[
        str, describe("The endpoint as clients reach it. Empty: the same as this server does.")
    ] = ""
    redirect_lifetime_ms: Annotated[
        int, describe("How long such a URL holds.", unit="ms", minimum=10_000, maximum=604_800_000)
    ] = 300_000


class Previews(Section, frozen=True):
    """What clients are shown of the pages that messages link to. `egress` says which addresses may be asked."""

    enabled: Annotated[
        bool, describe("Whether this server fetches pages that its users name. They learn the server's address.")
    ] = True
    language: Annotated[str, describe("As HTTP's Accept-Language has it.", pattern="[A-Za-z0-9*;=,. -]{1,200}")] = (
        "en, *;q=0.5"
    )
    lifetime_ms: Annotated[
        int, describe("How long a preview is kept before the page is asked again.", unit="ms", minimum=60_000)
    ] = 86_400_000
    cache_entries: Annotated[
        int, describe("Previews that are kept at most; the oldest go first.", minimum=0, maximum=10_000_000)
    ] = 50_000
    page_bytes: Annotated[
        int, describe("How much of a page is read.", unit="bytes", minimum=16_384, maximum=16 << 20)
    ] = 2 << 20
    image_bytes: Annotated[
        int, describe("The largest picture that is fetched for a preview.", unit="bytes", minimum=1_024)
    ] = 10 << 20
    timeout_ms: Annotated[
        int, describe("For all requests of one preview.", unit="ms", minimum=1_000, maximum=60_000)
    ] = 20_000


class Media(Section, frozen=True):
    """Files that users upload, and their thumbnails."""

    folder: Annotated[
        str,
        describe("Where they are kept; relative to this file. All media workers need the same one, or a shared disk."),
    ] = "media"
    moving_from: Annotated[
        Literal["", "folder", "s3"],
        describe(
            "Where media were kept until now, while `viaduct admin media move` brings them to the other of `folder` "
            "and `s3`: new ones go there, earlier ones are read from both. Empty: nothing is being moved."
        ),
    ] = ""
    upload_bytes: Annotated[
        int, describe("The largest upload, as clients are told it.", unit="bytes", minimum=1_024, maximum=1 << 40)
    ] = 50 << 20
    user_bytes: Annotated[
        int, describe("What all uploads of a user may take together; 0: no limit.", unit="bytes", minimum=0)
    ] = 0
    total_bytes: Annotated[
        int,
        describe(
            "What all contents in the storage may take together, thumbnails and remote media included; beyond, uploads "
            "are refused, within a minute or so. 0: no limit.",
            unit="bytes",
            minimum=0,
        ),
    ] = 0
    lifetime_ms: Annotated[
        int,
        describe("How long uploads are kept after they were last sent to anybody; 0: for ever.", unit="ms", minimum=0),
    ] = 0
    remote_download_bytes: Annotated[
        int, describe("The largest file that is fetched from other servers.", unit="bytes", minimum=1_024)
    ] = 100 << 20
    remote_timeout_ms: Annotated[
        int, describe("How long one may take.", unit="ms", minimum=1_000, maximum=3_600_000)
    ] = 300_000
    remote_cache_bytes: Annotated[
        int,
        describe(
            "What media of other servers take at most; those not asked for the longest go first. 0: no limit.",
            unit="bytes",
            minimum=0,
        ),
    ] = 10 << 30
    remote_lifetime_ms: Annotated[
        int,
        describe("How long they are kept after they were last asked for; 0: for ever.", unit="ms", minimum=0),
    ] = 7_776_000_000
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
    s3: S3 = S3()
    previews: Previews = Previews()
