"""Opening the vault, and looking whether it answers again, beside other work: a store may hang for minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from holdfast.control.vaults.opening import open_at
from holdfast.errors import FailedError, HoldfastError
from holdfast.events import Progress
from holdfast.training.saving.messages import Settings
from holdfast.vault.access.configuration import read_vault_id
from holdfast.vault.format.records import Root
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.sites.saving import DeclaredSave

__all__ = ["Home", "Reach"]

_FIRST_DELAY_SECONDS, _DELAY_SECONDS_MAX = 0.5, 30.0


class Home(NamedTuple):
    """The opened vault that the asset goes to; `committed` waits for the other sites that its class demands."""

    vault: Vault
    committed: Callable[[Root], None] | None


class Reach:
    """Whether the vault can be reached. `changed` is called from a thread when that becomes known."""

    def __init__(self, settings: Settings, progress: Progress, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._progress = progress
        self._changed = changed
        self._looking: threading.Thread | None = None
        self._delay = _FIRST_DELAY_SECONDS
        self._due = 0.0
        self.home: Home | None = None
        self.trouble: HoldfastError | None = None  # why it is not to be tried now

    @property
    def is_looking(self) -> bool:
        return self._looking is not None and self._looking.is_alive()

    @property
    def is_there(self) -> bool:
        return self.home is not None and self.trouble is None

    def seconds_until_due(self) -> float:
        """When it is to be looked again; 0: now."""
        return max(0.0, self._due - time.monotonic())

    def look(self) -> None:
        """Begin to look, unless that is under way."""
        if not self.is_looking:
            self._looking = threading.Thread(target=self._look, daemon=True, name="holdfast-reach")
            self._looking.start()

    def lost(self, error: HoldfastError) -> None:
        """A save failed so that trying again later may help."""
        self.trouble = error
        self._due = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _DELAY_SECONDS_MAX)

    def worked(self) -> None:
        """A save succeeded."""
        self._delay = _FIRST_DELAY_SECONDS

    def _look(self) -> None:
        try:
            if self.home is None:
                self.home = self._open()
            else:
                read_vault_id(self.home.vault.handle.store)
            self.trouble = None
        except HoldfastError as error:
            self.lost(error)
        except Exception as error:  # noqa: BLE001 - of a library: told like any other trouble
            self.lost(FailedError(f"the vault cannot be opened ({type(error).__name__})"))
        self._looking = None
        self._changed()

    def _open(self) -> Home:
        settings = self._settings
        if settings.vault:
            return Home(open_at(settings.vault, options=settings.options, progress=self._progress), None)
        found = self._declared()
        return Home(found.vault, found.committed)

    def _declared(self) -> DeclaredSave:
        from holdfast.config.finding import load_config
        from holdfast.control.sites.declared import DeclaredSites
        from holdfast.control.sites.saving import declared_save

        return declared_save(DeclaredSites(load_config(), progress=self._progress), self._settings.asset)
