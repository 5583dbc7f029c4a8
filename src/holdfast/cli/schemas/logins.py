"""Output of `holdfast login` and `holdfast serve`."""

from __future__ import annotations

from holdfast.cli.schemas.common import Record, Time

__all__ = ["LoggedIn", "Serving"]


class LoggedIn(Record, frozen=True, kw_only=True, tag="holdfast/login/1"):
    """`file`: where the token is kept. `ended`: it was a logout. `scope`: empty without a limit."""

    server: str
    until: Time | None
    scope: str
    file: str | None
    ended: bool


class Serving(Record, frozen=True, kw_only=True, tag="holdfast/serve/1"):
    """Told once, when it listens. `address`: how it is reached."""

    address: str
