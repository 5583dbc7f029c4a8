"""From what a cloud store was opened with to its archives."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.stores.archives.port import Archives

__all__ = ["archives_at"]


def archives_at(
    scheme: str, container: str, prefix: str, options: Mapping[str, str], credentials: Mapping[str, str]
) -> Archives | None:
    """None for a cloud without objects that have to be asked for. Nothing is sent yet. Raises MissingExtraError."""
    if scheme == "s3":
        from holdfast.stores.archives.s3 import S3Archives

        return S3Archives(container, prefix, options, credentials)
    if scheme == "az":
        from holdfast.stores.archives.azure import AzureArchives

        return AzureArchives(container, prefix, options, credentials)
    return None
