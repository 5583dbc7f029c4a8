"""Which settings of a cloud's stores are secret: in `holdfast.yaml` they stand in `credentials`, as references."""

from __future__ import annotations

from typing import Final

__all__ = ["credential_names"]

# The names are those of `holdfast.stores.cloud_options`, which refuses them as plain options (a test compares).
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "s3": ("access_key_id", "secret_access_key", "session_token", "token", "sse_customer_key_base64"),
    "gs": ("service_account_key", "bearer_token", "token"),
    "az": ("account_key", "access_key", "client_secret", "sas_key", "sas_token", "token", "bearer_token"),
}


def credential_names(kind: str) -> tuple[str, ...]:
    """Those of `s3`, `gs` or `az`; none of any other kind of store."""
    return _NAMES.get(kind, ())
