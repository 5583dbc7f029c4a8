"""Freeing what nothing reaches any more, beside writers. The protocol and its proof: `design/003-collecting.md`."""
