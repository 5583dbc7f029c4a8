"""`holdfast train-exec -- CMD`: restore, start, watch, save on a signal, start again.

::

    supervising.py   the process beside the training: starts CMD, hears signals, decides; small, opens no vault
      commands/      CMD: its process group, the terminal, signals, how it died
      saves.py       runs worker.py for each save, at low priority, and knows how fast that is
      watching.py    looks for complete checkpoints, in a thread
    worker.py        a process that opens the vault for one thing, and ends: memory is taken only while it works
      beginning.py   attempts read, one checkpoint chosen, restored, put in its place, the attempt recorded
      saving.py      one checkpoint into the vault

Pure: `attempts.py` (is this a resume loop?), `choosing.py` (from which checkpoint?), `speeds.py` (what can still be
saved?), `hanging.py`, `backing_off.py`, `commands/ends.py` (what kind of death?).
"""
