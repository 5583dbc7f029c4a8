"""`python -m holdfast.evidence FOLDER --signer FINGERPRINT`: verify evidence offline, without a vault or its keys."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.evidence.bundle import verify_evidence
from holdfast.evidence.headline import headline_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the evidence in a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.evidence", description="Verify evidence offline.")
    parser.add_argument("folder", type=Path, help="holds evidence.json, manifest.json, manifest.sig and the rest")
    parser.add_argument("--signer", default="", help="the fingerprint of the signer that you trust")
    options = parser.parse_args(arguments)
    try:
        verified = verify_evidence(options.folder, signer=options.signer)
    except HoldfastError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    sys.stdout.write(f"{headline_of(verified.record)}\n")
    trusted = "whom you trust" if options.signer else "whom you have yet to trust: compare the fingerprint"
    by = verified.signer + (f" and countersigned by {verified.countersigner}" if verified.countersigner else "")
    sys.stderr.write(f"record {verified.record.identity.record_id}: intact, signed by {by}, {trusted}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
