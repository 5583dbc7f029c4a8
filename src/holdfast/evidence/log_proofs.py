"""Proofs that the audit log has what is about a run: files that verify by themselves, beside the signed ones.

They are made when the record is written, as far as the log has the entries then, and again when it is exported: what
waited in the spools of members gets into the log later. So the manifest does not name them. Each is read strictly:
there is one way to write it, and every signature line in it is by a key that the record names, and right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import decode_leaf
from holdfast.audit.notes import Note
from holdfast.audit.tlog_proofs import TlogProof, decode_proof, encode_proof, verify_proof, witness_names
from holdfast.audit.verifier_keys import VerifierKey, parse_vkey
from holdfast.errors import DamageError, UntrustedError
from holdfast.evidence.encoding import ASK_AGAIN
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_trust import LogTrust

__all__ = ["PROOFS", "ProvenEntry", "check_proofs", "is_about", "proof_name", "trimmed"]

PROOFS: Final = "proofs/"
_NAME: Final = re.compile(r"proofs/(0|[1-9][0-9]{0,18})\.tlog-proof")


class ProvenEntry(NamedTuple):
    """An entry that is in the log, at which place, in a log of which size, cosigned by whom."""

    id: str
    action: str
    place: int
    size: int
    witnesses: tuple[str, ...]
    of_evidence: bool  # it is about this very manifest


def proof_name(place: int) -> str:
    return f"{PROOFS}{place}.tlog-proof"


def is_about(objects: Mapping[str, str], plan: str, manifest: bytes) -> bool:
    """Whether an entry with these objects is about the run of that plan (SHA-256, hex), or about this evidence."""
    return (bool(plan) and objects.get("plan") == plan) or objects.get("evidence") == _sha256(manifest)


def trimmed(proof: bytes, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]) -> bytes:
    """The proof with no other signature lines than those of these keys, each once. Raises DamageError."""
    found = decode_proof(proof, "a proof of the log")
    known = {(key.name, key.key_id) for key in (*keys, *witnesses)}
    kept = {(one.name, one.key_id): one for one in found.note.signatures if (one.name, one.key_id) in known}
    return encode_proof(TlogProof(found.place, found.hashes, Note(found.note.text, tuple(kept.values())), found.extra))


def check_proofs(
    record: Evidence,
    manifest: bytes,
    proofs: Mapping[str, bytes],
    *,
    log_keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
) -> list[ProvenEntry]:
    """All of them, and that those are there which the record says were in the log.

    `log_keys`, `witnesses`: more keys (vkeys) that the reader trusts: of a log that changed its key since.
    Raises DamageError, UntrustedError.
    """
    log = record.trust.log
    if log is None:
        if proofs:
            raise DamageError("there are proofs of a log, and the record names none", hint=ASK_AGAIN)
        return []
    plan = record.identity.plan.sha256 if record.identity.plan is not None else ""
    found = [_check(name, data, log, plan, manifest, log_keys, witnesses) for name, data in sorted(proofs.items())]
    missing = {one.id for one in log.entries} - {one.id for one in found}
    if missing:
        raise DamageError(
            f"the record says that the log had {', '.join(sorted(missing))}, and no proof of it is here", hint=ASK_AGAIN
        )
    return found


def _check(
    name: str,
    data: bytes,
    log: LogTrust,
    plan: str,
    manifest: bytes,
    log_keys: Sequence[str],
    witnesses: Sequence[str],
) -> ProvenEntry:
    proof = decode_proof(data, name)
    named = _NAME.fullmatch(name)
    if named is None or int(named[1]) != proof.place or encode_proof(proof) != data:
        raise DamageError(f"{name} was not written like this", hint=ASK_AGAIN, object_name=name)
    checkpoint, seen = _signed(name, proof, log, log_keys, witnesses)
    entry = decode_leaf(proof.extra, name).entry
    if not is_about(entry.objects, plan, manifest):
        raise DamageError(f"{name} proves an entry about something else", hint="take it away", object_name=name)
    about = entry.objects.get("evidence") == _sha256(manifest)
    return ProvenEntry(entry.id, entry.action, proof.place, checkpoint.size, tuple(sorted(seen)), about)


def _signed(
    name: str, proof: TlogProof, log: LogTrust, log_keys: Sequence[str], more: Sequence[str]
) -> tuple[Checkpoint, set[str]]:
    keys = [parse_vkey(one) for one in log.keys]
    newer = [parse_vkey(one) for one in log_keys]
    present = {(one.name, one.key_id) for one in proof.note.signatures}
    chosen = newer if newer and {(one.name, one.key_id) for one in newer} <= present else keys
    witnesses = [parse_vkey(one) for one in (*log.witnesses, *more)]
    unknown = present - {(one.name, one.key_id) for one in (*chosen, *witnesses)}
    if unknown or len(present) != len(proof.note.signatures):
        who = ", ".join(sorted(one[0] for one in unknown)) or "somebody twice"
        raise UntrustedError(f"{name} is signed by keys that the record does not name ({who})", object_name=name)
    checkpoint = verify_proof(proof, proof.extra, log.origin, chosen, witnesses=witnesses, name=name)
    return checkpoint, witness_names(proof.note, witnesses, name)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
