"""Bulk work over many pieces: on the threads of this process, or on the machines of a Ray cluster."""

from holdfast.fanout.port import Fanout, Outcome, Shares, WorkerShare, open_fanout
from holdfast.fanout.threads import ThreadFanout

__all__ = ["Fanout", "Outcome", "Shares", "ThreadFanout", "WorkerShare", "open_fanout"]
