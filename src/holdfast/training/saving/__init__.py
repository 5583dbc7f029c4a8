"""Saving from a training loop: one copy into shared memory, the rest in a process of its own (design/008).

```
saver.py     the face: Saver            tickets.py    what became of a save
staging.py   state → shared memory      memory.py     the shared memory
worker.py    the saving process, seen from training: started, watched, started again
channel.py, messages.py                 what the two say to each other
dispatching.py, ledger.py               who may stage, what became of what was handed over
process.py   the saving process: inbox.py what it was told, duty.py what it does, reaching.py whether the vault answers
writing.py   shared memory → snapshot
spooling.py, spool_files.py             what waits on a local disk for a store that is away
restoring.py snapshot → state
```
"""
