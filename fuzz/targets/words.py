"""What the command line, the environment and servers say: options, homes, the errors of a cloud's library."""

from __future__ import annotations

from contextlib import suppress

from obstore import exceptions

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.cli.options import pairs, percentage
from holdfast.cli.rota import _worth
from holdfast.cli.snapshot_saving import _numbers
from holdfast.control.vaults.known_vaults import known_vaults_file
from holdfast.errors import HoldfastError
from holdfast.homes import cache_home, state_home
from holdfast.stores.cloud_errors import translated
from holdfast.stores.cloud_options import cloud_identity
from holdfast.trust.keyring import keeper_from_environment, key_folder, passphrase_from_environment
from holdfast.vault.format.header import Kind
from holdfast.vault.format.records import Root, decode_record
from holdfast.vault.saving.memory import memory_path
from holdfast.vault.saving.metrics import checked_metrics
from holdfast.vault.snapshots.restores import restores_path

__all__ = ["TARGETS"]

_CLASSES = (
    exceptions.GenericError,
    FileNotFoundError,
    exceptions.AlreadyExistsError,
    exceptions.PermissionDeniedError,
    exceptions.NotSupportedError,
    exceptions.PreconditionError,
)
_ANSWERS = (b"status code: 416", b"status code: 507", b"<Code>", b"</Code>", b"Generic A error: ", b"kind: Connect")
_ANSWERS += (b"169.254.169.254", b"builder error", b"ExpiredToken", b"NoSuchBucket", b"\n", b"\xff")
_VARIABLES = ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HOLDFAST_PASSPHRASE")
_VARIABLES += ("AWS_ENDPOINT_URL", "AWS_REGION", "AZURE_STORAGE_ACCOUNT_NAME", "GOOGLE_SERVICE_ACCOUNT")
_VARIABLES += ("HOLDFAST_KEEPER",)


def _cloud_error(data: bytes) -> None:
    """First byte: the class. The rest is what a server, or something that answers in its place, sent."""
    kind, text = _CLASSES[data[0] % len(_CLASSES)] if data else _CLASSES[0], data[1:].decode("utf-8", "replace")
    error = translated(kind(text), "read packs/x", "packs/x")
    if not isinstance(error, HoldfastError) or len(error.message) > 600:
        raise Broken(f"{error!r} is no error of ours, or goes on for ever")


def _arguments(data: bytes) -> None:
    """Lines as the values of options that are given several times."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    for read in (
        lambda: percentage(lines[0]),
        lambda: _worth(lines),
        lambda: checked_metrics(_numbers(lines)),
        lambda: pairs(lines, "--store-option"),
    ):
        try:
            found = read()
        except HoldfastError:
            continue
        if isinstance(found, float) and not 0 < found <= 1:
            raise Broken(f"{lines[0]!r} is a share of {found}")


def _environment(data: bytes) -> None:
    """Variables, one in each line; as in a real environment none holds a NUL. Nothing is read from where they lead."""
    values = data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
    environment = dict(zip(_VARIABLES, values, strict=False))
    for find in (state_home, cache_home, key_folder, known_vaults_file):
        try:
            found = find(environment)
        except HoldfastError:
            continue
        if found is not None and not found.is_absolute():
            raise Broken(f"{find.__name__} is {found}, which is somewhere else in every folder")
    passphrase_from_environment(environment)
    with suppress(HoldfastError):
        keeper = keeper_from_environment(environment)
        if keeper is not None and (len(keeper) != 32 or set(keeper) - set("0123456789abcdef")):
            raise Broken(f"{keeper!r} is the fingerprint of a keeper")
    root = decode_record(world.bodies(Kind.ROOT)[0], Root, "x")
    for path in (
        memory_path(world.keys(False), root.asset, environment),
        restores_path(world.keys(False), environment),
    ):
        if path is not None and world.VAULT.hex() not in path.parts:
            raise Broken(f"{path} is not apart from those of other vaults")
    for scheme in ("s3", "gs", "az"):
        cloud_identity(scheme, f"{scheme}://bucket/a", {}, environment)


TARGETS = [
    Target(
        "cloud-error",
        "`translated`, for each class of errors of the clouds' library",
        _cloud_error,
        lambda: [
            b"\0Generic S3 error: response error <Error><Code>SlowDown</Code></Error>, status code: 503",
            b"\0Generic S3 error: error sending request: HTTP error, kind: Timeout",
        ],
        _ANSWERS,
    ),
    Target(
        "arguments",
        "`percentage`, `pairs`, `_worth`, `_numbers`, `checked_metrics`",
        _arguments,
        lambda: [b"5%", b"loss=1.5\nacc=nan", b"llama=3\nbert=1e400"],
        (b"%", b"=", b"nan", b"inf", b"-0", b"1e400", b"1_0", b"\xd9\xa3", b"9" * 5000, b"\xff", b"\n"),
        max_bytes=8000,
    ),
    Target(
        "environment",
        "`state_home`, `cache_home`, `key_folder`, `known_vaults_file`, `restores_path`, `cloud_identity`, "
        "`keeper_from_environment`",
        _environment,
        lambda: [b"/home/a", b"\n/state\n/cache\n/config\nsecret\nhttp://x\neu\nacc\n/key.json\n" + b"0a" * 16],
        (b"\n", b"/", b"..", b"~", b"\xff", b"relative", b" "),
        max_bytes=2000,
    ),
]
