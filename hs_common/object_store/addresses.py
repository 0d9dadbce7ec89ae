"""Where a bucket is, and who asks it, as the config says it. Pure."""

from hs_common.config.media import S3
from hs_common.object_store.signing import Credentials


def bucket_url(config: S3, endpoint: str) -> str:
    """Where the bucket is, as one reaches it by that endpoint."""
    scheme, _, host = endpoint.partition("://")
    return f"{endpoint}/{config.bucket}" if config.path_style else f"{scheme}://{config.bucket}.{host}"


def credentials_of(config: S3) -> Credentials:
    """Who asks."""
    return Credentials(config.access_key_id, config.secret_access_key, config.region)
