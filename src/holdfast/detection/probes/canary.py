"""Whether a store keeps what it is given: a small object is created, read back, compared and deleted.

Its name is used once; a second creation has to be refused, as everything here relies on that. What an earlier canary
left behind is deleted first, if it is more than an hour old.
"""

from __future__ import annotations

import os
import time
from typing import Final

from holdfast.detection.probes.model import Answer, bad, good
from holdfast.errors import AlreadyExistsError, HoldfastError, ObjectNotFoundError
from holdfast.stores.protocol import Store

__all__ = ["CANARIES", "canary_probe"]

CANARIES: Final = "observations/canaries/"
_OLD_NS: Final = 3600 * 1_000_000_000
_CLEANED_MAX: Final = 20


def canary_probe(store: Store, observer: str, now_ns: int) -> Answer:
    """`observer`: whose canaries they are. A store that keeps what is deleted (a lock) is good, and that is said."""
    name = f"{CANARIES}{observer.replace('/', '.')}/{now_ns:020d}-{os.urandom(6).hex()}"
    data = os.urandom(64)
    began = time.monotonic()
    try:
        store.create(name, data)
        if store.get(name) != data:
            return bad("it gives back something else than it was given")
        try:
            store.create(name, os.urandom(64))
            return bad("it lets an object be created twice: nothing here is safe on it")
        except AlreadyExistsError:
            pass
        took = time.monotonic() - began
        left = _cleaned(store, name, now_ns)
        return good(f"kept and gave back an object in {took:.3f} s{left}", took)
    except HoldfastError as error:
        return bad(error.message)


def _cleaned(store: Store, name: str, now_ns: int) -> str:
    folder = name.rpartition("/")[0] + "/"
    try:
        store.delete(name)
        old = [info.key for info in store.list(folder) if _made(info.key) < now_ns - _OLD_NS]
        for key in old[:_CLEANED_MAX]:
            store.delete(key)
    except ObjectNotFoundError:
        return ""
    except HoldfastError as error:
        return f"; it keeps canaries ({error.message})"
    return ""


def _made(key: str) -> int:
    digits = key.rpartition("/")[2].partition("-")[0]
    return int(digits) if len(digits) == 20 and digits.isascii() and digits.isdigit() else 1 << 62
