"""Which settings a cloud store takes, and where the secrets belong that it does not take.

The names are obstore's own configuration keys; `endpoint` means the same for all three clouds, and `root_certificate`
names a PEM file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import UsageError

__all__ = [
    "CloudSettings",
    "cloud_identity",
    "endpoint_of",
    "for_sending",
    "sort_options",
    "with_credentials",
    "with_endpoint",
    "option_names",
]

# Durations are written as obstore reads them: `90s`, `5m`.
_CLIENT = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "http1_only",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_excludes",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)

_STORE: dict[str, frozenset[str]] = {
    "s3": frozenset(
        {
            "checksum_algorithm",
            "conditional_put",
            "container_credentials_full_uri",
            "container_credentials_relative_uri",
            "disable_bulk_delete",
            "disable_tagging",
            "endpoint",
            "imdsv1_fallback",
            "metadata_endpoint",
            "region",
            "request_payer",
            "role_arn",
            "role_session_name",
            "s3_express",
            "server_side_encryption",
            "skip_signature",
            "sse_bucket_key_enabled",
            "sse_kms_key_id",
            "unsigned_payload",
            "virtual_hosted_style_request",
            "web_identity_token_file",
        }
    ),
    "gs": frozenset({"application_credentials", "endpoint", "service_account", "skip_signature"}),
    "az": frozenset(
        {
            "account_name",
            "authority_host",
            "client_id",
            "credential_type",
            "disable_tagging",
            "endpoint",
            "federated_token_file",
            "msi_endpoint",
            "msi_resource_id",
            "object_id",
            "skip_signature",
            "tenant_id",
            "use_azure_cli",
            "use_fabric_endpoint",
        }
    ),
}

# What holds a secret, and the environment variable that obstore reads it from.
_SECRET: dict[str, dict[str, str]] = {
    "s3": {
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "token": "AWS_SESSION_TOKEN",
        "sse_customer_key_base64": "AWS_SSE_CUSTOMER_KEY_BASE64",
    },
    "gs": {
        "service_account_key": "GOOGLE_SERVICE_ACCOUNT_KEY",
        "bearer_token": "GOOGLE_BEARER_TOKEN",
        "token": "GOOGLE_BEARER_TOKEN",
    },
    "az": {
        "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
        "access_key": "AZURE_STORAGE_ACCOUNT_KEY",
        "client_secret": "AZURE_STORAGE_CLIENT_SECRET",
        "sas_key": "AZURE_STORAGE_SAS_TOKEN",
        "sas_token": "AZURE_STORAGE_SAS_TOKEN",
        "token": "AZURE_STORAGE_TOKEN",
        "bearer_token": "AZURE_STORAGE_TOKEN",
    },
}

# What tells two buckets of one name apart, and the environment variables that obstore takes it from.
_PLACE: dict[str, dict[str, tuple[str, ...]]] = {
    "s3": {"endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")},
    "gs": {"endpoint": ("GOOGLE_BASE_URL",)},
    "az": {
        "endpoint": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
        "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME"),
    },
}
_USER = re.compile(r"//[^/]*@")

_SPELLING = {"gs": {"endpoint": "base_url"}}

# A pack may be 64 MiB and a line slow: what counts is that bytes keep coming. obstore's own limit is 30 s in all. Its
# `read_timeout` begins with the request, so that it holds for sending, too: see `for_sending`.
_CLIENT_DEFAULTS = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "15m"}
# For 128 MiB that are on their way side by side (four packs of 32 MiB), at 2 Mbit/s.
_SENDING_TIMEOUT = "10m"
# One object at a time is deleted anyway, and the bulk request is what S3-compatible stores most often lack.
_STORE_DEFAULTS = {"s3": {"disable_bulk_delete": "true"}}


class CloudSettings(NamedTuple):
    """Options as obstore wants them: those of the store, and those of its HTTP client."""

    store: dict[str, str]
    client: dict[str, str]


def option_names(scheme: str) -> list[str]:
    """All options of `s3`, `gs` or `az`."""
    return sorted(_STORE[scheme] | _CLIENT)


def sort_options(scheme: str, options: Mapping[str, str]) -> CloudSettings:
    """Check the options for a cloud and fill in defaults. Raises UsageError; its message holds no option's value."""
    for name in options:
        _check_name(scheme, name)
    _check_endpoint(options)
    spelling = _SPELLING.get(scheme, {})
    store = {spelling.get(name, name): value for name, value in options.items() if name in _STORE[scheme]}
    client = {name: value for name, value in options.items() if name in _CLIENT}
    if "root_certificate" in client:
        client["root_certificate"] = _certificates(client["root_certificate"])
    return CloudSettings(_STORE_DEFAULTS.get(scheme, {}) | store, _CLIENT_DEFAULTS | client)


def for_sending(settings: CloudSettings) -> CloudSettings | None:
    """The same, for requests with a large body, whose answer may be waited for longer; None: they need no other ones,
    for somebody chose how long.
    """
    if settings.client.get("read_timeout") != _CLIENT_DEFAULTS["read_timeout"]:
        return None
    return settings._replace(client={**settings.client, "read_timeout": _SENDING_TIMEOUT})


def with_credentials(scheme: str, settings: CloudSettings, credentials: Mapping[str, str]) -> CloudSettings:
    """The settings, with secrets (by the names that `sort_options` refuses). Raises UsageError for another name."""
    for name in credentials:
        if name not in _SECRET[scheme]:
            known = ", ".join(sorted(_SECRET[scheme]))
            raise UsageError(f"{scheme}:// stores have no credential {name!r}", hint=f"known are: {known}")
    return settings._replace(store={**settings.store, **credentials})


def endpoint_of(scheme: str, options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The endpoint that obstore will use, by option or environment; empty for the cloud's own."""
    return options.get("endpoint") or next(filter(None, map(environment.get, _PLACE[scheme]["endpoint"])), "")


def with_endpoint(scheme: str, settings: CloudSettings, endpoint: str) -> CloudSettings:
    """The settings, for another endpoint."""
    name = _SPELLING.get(scheme, {}).get("endpoint", "endpoint")
    return settings._replace(store={**settings.store, name: endpoint})


def cloud_identity(scheme: str, url: str, options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The URL, and what else says which bucket it is: the endpoint, and on Azure the account."""
    found = [url]
    for name, variables in _PLACE[scheme].items():
        value = options.get(name) or next(filter(None, map(environment.get, variables)), "")
        if value:
            found.append(f"{name} {_USER.sub('//', value).rstrip('/')}")
    return ", ".join(found)


def _check_name(scheme: str, name: str) -> None:
    variable = _SECRET[scheme].get(name)
    if variable is not None:
        raise UsageError(f"the option {name} would hold a secret", hint=f"set the environment variable {variable}")
    if name not in _STORE[scheme] and name not in _CLIENT:
        known = ", ".join(option_names(scheme))
        raise UsageError(f"{scheme}:// stores have no option {name!r}", hint=f"known are: {known}")


def _check_endpoint(options: Mapping[str, str]) -> None:
    endpoint = options.get("endpoint", "")
    if "@" in endpoint:
        raise UsageError("the option endpoint may not hold a user or a password", hint="use the environment")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise UsageError("the option endpoint must begin with https:// or http://")
    allowed = options.get("allow_http", "").lower() in ("1", "true", "on", "yes", "y")
    if endpoint.startswith("http://") and not allowed:
        raise UsageError("the endpoint has no TLS", hint="set allow_http=true if the network between is yours")


def _certificates(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise UsageError(f"the root certificates in {path} cannot be read", hint="name a PEM file") from error
