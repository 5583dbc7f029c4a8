"""`identity` of `holdfast.yaml`: whose names are whose, and where the installation's own authority lies."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import FilePath, Name, Text

__all__ = ["Identity"]


class Identity(Section, frozen=True, kw_only=True):
    """`people`: a person → all the names that they go by: `key:<label>` of a key of the vault,
    `user:<issuer>#<subject>`, `api-key:<id>`. Nobody approves under one name what they asked for under another; names
    of two kinds (a key and a login), or of two identity providers, that are not listed are not taken for two people.

    `settings`, `policies`: files of the installation's own authority (docs/authority.md). Nothing acts on these yet.
    """

    settings: FilePath = ""
    policies: FilePath = ""
    people: dict[Name, tuple[Text, ...]] = {}

    def person_by_name(self) -> dict[str, str]:
        """Each name → the person."""
        return {name: person for person, names in self.people.items() for name in (*names, person)}
