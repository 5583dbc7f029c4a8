"""`serve` of `holdfast.yaml`: what holds for servers of an organisation (docs/server.md)."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import AssetName, FilePath, Text

__all__ = ["Serve"]


class Serve(Section, frozen=True, kw_only=True):
    """`vouches`: labels of keepers' keys whose holders, servers, say in journals what people asked them for. What they
    say counts as said by that person; without any, nobody approves over a server.

    `hosts`: names by which a server is asked, besides the address that it listens on; with the port where that is not
    the usual one.

    `targets`: folders of the machines that restore, below which a recovery may bring data that was asked for over a
    server. Rehearsals have a folder of their own.

    `backup`: the asset as which a server saves its own databases, every `save_every` of it (1 h).
    """

    vouches: tuple[Text, ...] = ()
    hosts: tuple[Text, ...] = ()
    targets: tuple[FilePath, ...] = ()
    backup: AssetName = ""
