"""Faults of a store, scripted in sentences.

::

    faults = (
        Faults(seed=1)
        .fail("put", matching="packs/*", at=3)
        .lose_answer("create", at=2)
        .throttle("*", chance=0.01)
        .list_late(seconds=30)
        .stop_after(7)
    )
    store = faults.over(LocalStore(folder))

`verb` is a method of a store, `"*"` for any, or several (`"put create"`). `matching` is a shell pattern for the key
(`*` also matches slashes). `at` counts the operations that match, from 1: one number, or a collection such as
`range(1, 4)`; None means each of them. `chance` is the probability, from 0 to 1, that it happens then.

`script` holds the sentences, `single` what befalls one operation, `lagging` what a store shows of its past and of its
clock. `local` is apart: processes and machines that die between the system calls of `LocalStore`.
"""

from holdfast.testing.faults.script import VERBS, WRITING_VERBS, Faults
from holdfast.testing.faults.single import Crash

__all__ = ["VERBS", "WRITING_VERBS", "Crash", "Faults"]
