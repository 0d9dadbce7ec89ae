"""Puts the object store together from the config."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hs_common.config.media import S3
from hs_common.object_store.addresses import bucket_url, credentials_of
from hs_common.object_store.signing import encoded_path, signed_url
from hs_workers.media.disk import Disk
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.s3.blobs import S3Blobs
from hs_workers.media.s3.requests import Bucket


def object_store(
    config: S3, reactor: Any, disk: Disk, now_ms: Callable[[], int], metrics: MediaMetrics
) -> tuple[S3Blobs, Bucket]:
    """The store, and its connections, which somebody must close."""
    credentials = credentials_of(config)
    bucket = Bucket(
        reactor, bucket_url(config, config.endpoint), credentials, now_ms, metrics.storage_failed, metrics.store_asked
    )
    outside = bucket_url(config, config.redirect_endpoint or config.endpoint)

    def sign(key: str, parameters: Mapping[str, str]) -> str:
        lifetime_s = config.redirect_lifetime_ms // 1000
        return signed_url(credentials, f"{outside}/{encoded_path(key)}", now_ms(), lifetime_s, parameters)

    spool_folder = Path(config.spool_folder) if config.spool_folder else None
    store = S3Blobs(bucket, config.prefix, disk, spool_folder, now_ms, sign if config.redirects else None)
    return store, bucket
