"""Where an installation keeps who may do what, and what of it is in force.

Below `$XDG_CONFIG_HOME/holdfast/` (or the folder that HOLDFAST_AUTHORITY names): `policies/*.cedar`, `authority.yaml`,
`api-keys.json`. What is remembered lies below `$XDG_STATE_HOME/holdfast/`, keys of identity providers below
`$XDG_CACHE_HOME/holdfast/identity/`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.authority.deciding import Circumstances, Decision, decide
from holdfast.authority.policy_folder import InForce, check_owner, policies_in_force
from holdfast.authority.settings import Settings, parse_settings
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import CredentialError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.homes import cache_home, state_home
from holdfast.trust.keyring import key_folder

if TYPE_CHECKING:
    from holdfast.authority.issuer_keys import KeyCache
    from holdfast.authority.principals import Principal
    from holdfast.authority.resources import Resource

__all__ = ["AuthorityHome", "HOME_VARIABLE", "TOKEN_VARIABLE", "API_KEY_VARIABLE"]

HOME_VARIABLE: Final = "HOLDFAST_AUTHORITY"
TOKEN_VARIABLE: Final = "HOLDFAST_TOKEN_FILE"  # noqa: S105 - the name of a variable that names a file
API_KEY_VARIABLE: Final = "HOLDFAST_API_KEY_FILE"
_DECIDED_NS: Final = NANOSECONDS
_DECISIONS: Final = 1000


@dataclass
class AuthorityHome:
    """The files of one installation. What is read is read once; `renewed` sees what changed since."""

    environment: Mapping[str, str]
    clock: Clock = SYSTEM_CLOCK
    progress: Progress = SILENT

    @classmethod
    def of_process(cls, clock: Clock = SYSTEM_CLOCK, progress: Progress = SILENT) -> AuthorityHome:
        return cls(os.environ, clock, progress)

    def renewed(self) -> AuthorityHome:
        """The same files, to be read anew; the keys of identity providers stay known. For services."""
        home = AuthorityHome(self.environment, self.clock, self.progress)
        home.keys = self.keys
        return home

    @cached_property
    def folder(self) -> Path:
        """Raises CredentialError where there is no home."""
        named = self.environment.get(HOME_VARIABLE, "")
        if not named:
            return key_folder(self.environment).parent
        if not Path(named).is_absolute():
            raise CredentialError(f"{HOME_VARIABLE} names no absolute path", object_name=named)
        return Path(named)

    @property
    def policy_folder(self) -> Path:
        return self.folder / "policies"

    @property
    def register(self) -> Path:
        """The file of API keys."""
        return self.folder / "api-keys.json"

    @property
    def state(self) -> Path | None:
        """Where things are remembered; None for a user without a home."""
        home = state_home(self.environment)
        return None if home is None else home / "holdfast"

    @cached_property
    def settings(self) -> Settings:
        """`authority.yaml`, or what holds without it. Raises CredentialError naming the line."""
        path = self.folder / "authority.yaml"
        try:
            with path.open("rb") as file:
                from holdfast.strict_yaml import YAML_BYTES_MAX

                check_owner(path, os.fstat(file.fileno()))
                data = file.read(YAML_BYTES_MAX + 1)
            return parse_settings(data, str(path))
        except FileNotFoundError:
            return Settings()
        except OSError as error:
            raise CredentialError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
        except UsageError as error:
            raise CredentialError(error.message, hint=error.hint, object_name=str(path)) from error

    @cached_property
    def in_force(self) -> InForce:
        """The policies that decide. Raises CredentialError with file and line where none ever were good."""
        kept = None if self.state is None else self.state / "policies.kept"
        return policies_in_force(self.policy_folder, kept, self.progress)

    def decided(
        self, principal: Principal | None, action: str, resource: Resource, to: Resource | None, now_ns: int
    ) -> Decision:
        """By the policies in force, at most a second ago where the answer was yes to the same: a service is asked the
        same on and on. Raises CredentialError, UsageError.
        """
        policies = self.in_force.policies
        asked = (policies.digest, principal, action, repr(resource), repr(to))
        known = self._permitted.get(asked)
        if known is not None and 0 <= now_ns - known[0] <= _DECIDED_NS:
            return known[1]
        decision = decide(policies, principal, action, resource, Circumstances(now_ns, to))
        if decision.allowed and principal is not None and principal.elevation is None:
            if len(self._permitted) >= _DECISIONS:
                self._permitted.clear()
            self._permitted[asked] = (now_ns, decision)
        return decision

    @cached_property
    def _permitted(self) -> dict[object, tuple[int, Decision]]:
        return {}

    @cached_property
    def keys(self) -> KeyCache:
        """Keys of identity providers."""
        from holdfast.authority.issuer_keys import KeyCache

        caches = cache_home(self.environment)
        folder = None if caches is None else caches / "holdfast" / "identity"
        return KeyCache(folder, self.clock, self.progress)
