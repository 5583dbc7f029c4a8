"""Guards of the audit log: against its keeper and the control plane (rows C), against who owns its store (rows G), and
against witnesses (rows N).
"""

from __future__ import annotations

from .model import Edit, Guard

__all__ = ["GUARDS"]

_VERIFY = "tests/unit/audit/test_audit_verify.py"
_WITNESS = "tests/unit/audit/test_audit_witness.py"
_CHANGE = "tests/recovery/test_audit_key_change.py"
_COLLUSION = "tests/unit/audit/test_audit_collusion.py"
_GONE = "tests/integration/test_audit_log_gone.py"
_VERIFYING, _WITNESSING = "audit/verifying.py", "audit/witnessing.py"
_REMEMBERED = Edit(_VERIFYING, 'self._claim(self._remembered, "what this machine saw before")', "pass")
_ENTRIES = Edit(_VERIFYING, "if hashes is not None and leaves != hashes[:width]:", "if False:")
_KINDS = Edit("audit/reading.py", "if {key.kind for key in signed} != kinds:", "if False:")

GUARDS = [
    Guard("G1", "entries are compared with their tile", f"{_VERIFY}::test_a_reordering", (_ENTRIES,)),
    Guard("G1", "entries are compared with their tile", f"{_VERIFY}::test_a_deletion", (_ENTRIES,)),
    Guard(
        "G1",
        "the tiles are compared with the signed root",
        f"{_VERIFY}::test_a_reordering_that_the_tiles_above_hide_is_found",
        (
            Edit(_VERIFYING, "for who, claimed in claims if claimed != root]", "for who, claimed in () if claimed]"),
            Edit(_VERIFYING, 'if b"".join(found[: tile.width]) != data:', "if False:"),
        ),
    ),
    Guard(
        "G2",
        "entries that are gone are told",
        f"{_VERIFY}::test_a_truncation",
        (
            Edit(
                _VERIFYING,
                'self._find(TRUNCATION, path, f"entries from {number * TILE_WIDTH} on are gone; the log has {size}")',
                "pass",
            ),
        ),
    ),
    Guard(
        "G3",
        "a log that is smaller than it was is told",
        f"{_VERIFY}::test_a_rollback",
        (Edit(_VERIFYING, "if seen is not None and seen.size > size:", "if False:"),),
    ),
    Guard(
        "G3",
        "a witness goes on from what it saw",
        f"{_WITNESS}::test_a_rollback_is_refused",
        (
            Edit(_WITNESSING, "    if request.old != state.size:\n        return _conflict(state.size)\n", ""),
            Edit(_WITNESSING, "        if request.old > checkpoint.size:\n", "        if False:\n"),
            Edit(_WITNESSING, "        verify_consistency(seen.size", "        0 and verify_consistency(seen.size"),
        ),
    ),
    Guard(
        "G3",
        "nothing is signed on top of less than was seen",
        f"{_GONE}::test_nothing_is_signed_on_top_of_a_log_that_was_put_back",
        (
            Edit(
                "control/audit/auditing.py",
                "require_continued(seen.checkpoint, self.reader, writer, memory.path)",
                "pass",
            ),
        ),
    ),
    Guard(
        "G4",
        "a tile that is read anew is compared anew",
        f"{_VERIFY}::test_a_tile_that_is_another_one_when_it_is_read_again",
        (
            Edit(
                "audit/reading.py",
                "if place not in self._checked:",
                "if place[:3] not in {one[:3] for one in self._checked}:",
            ),
        ),
    ),
    Guard(
        "G5",
        "a log that is gone is missed",
        f"{_GONE}::test_a_log_that_was_taken_away_is_not_taken_for_none",
        (Edit("control/audit/auditing.py", "        met.require_never()\n", ""),),
    ),
    Guard(
        "G6",
        "of a checkpoint a witness keeps what it verified",
        f"{_WITNESS}::test_a_stranger_who_adds_lines_does_not_take_the_witness_its_memory",
        (
            Edit(
                _WITNESSING,
                "return [first[place] for place in places if place in first]",
                "return list(note.signatures)",
            ),
        ),
    ),
    Guard(
        "G6",
        "cosignatures that verify come first",
        f"{_VERIFY}::test_cosignatures_are_not_buried_below_others",
        (Edit("audit/reading.py", "lines = [*good.values(), ", "lines = [*others, *good.values(), "),),
    ),
    Guard(
        "C1", "what this machine saw is compared", f"{_VERIFY}::test_a_fork_by_who_has_the_logs_own_key", (_REMEMBERED,)
    ),
    Guard(
        "C1",
        "a witness asks for a proof that nothing was rewritten",
        f"{_WITNESS}::test_a_fork_is_refused_at_the_same_size_and_at_a_larger_one",
        (Edit(_WITNESSING, "        verify_consistency(seen.size", "        0 and verify_consistency(seen.size"),),
    ),
    Guard(
        "C1",
        "a witness that reads compares the entries",
        f"{_VERIFY}::test_a_witness_does_not_cosign_what_was_reordered_or_left_out",
        (Edit("audit/cosigning.py", "if (frontier.size, frontier.root()) != (new.size, new.root):", "if False:"),),
    ),
    Guard(
        "C2",
        "entries of members are verified in the log, too",
        f"{_VERIFY}::test_an_entry_that_was_changed_after_it_was_signed_never_gets_in",
        (Edit("audit/chains.py", "check_signed(signed, self._log, self._members, name)", "pass"),),
    ),
    Guard(
        "C2",
        "what names a member is signed by it",
        f"{_VERIFY}::test_an_entry_that_the_logs_keeper_wrote_as_if_a_member_had_is_told",
        (Edit("audit/chains.py", "elif entry.actor.fingerprint in self._members:", "elif False:"),),
    ),
    Guard(
        "C3",
        "each entry of a member names the one before",
        f"{_VERIFY}::test_an_entry_of_a_member_that_the_sequencer_left_out_is_a_gap",
        (Edit("audit/chains.py", "if signed.previous != before.hash:", "if False:"),),
    ),
    Guard(
        "C4",
        "what is locked is not dropped",
        "tests/unit/vault/test_locked_verbs.py::test_a_locked_snapshot_is_not_dropped",
        (
            Edit(
                "vault/locking/state.py",
                "    if until is not None:\n        raise RefusedError",
                "    if False:\n        raise RefusedError",
            ),
        ),
    ),
    Guard(
        "C4",
        "locks outlive a keeper's key",
        "tests/recovery/test_threats_by_members.py::test_a_keepers_key_destroys_nothing_that_is_locked",
        (
            Edit(
                "vault/locking/protecting.py",
                "for keys in (reach.data | lasting, {reach.root}):",
                "for keys in (lasting, {reach.root}):",
            ),
        ),
    ),
    Guard(
        "C5",
        "of API keys hashes are kept",
        "tests/unit/authority/test_api_keys.py::test_the_secret_is_nowhere",
        (Edit("authority/api_keys.py", 'person=person or f"api-key:{key.id}",', 'person=f"api-key:{key.text}",'),),
    ),
    Guard(
        "C6",
        "keys end at a checkpoint",
        f"{_CHANGE}::test_an_old_key_signs_nothing_that_counts_beyond_the_change",
        (
            Edit(
                "audit/log_keys.py", "            return self.of_generation(generation).keys", "            return self"
            ),
            Edit("audit/log_keys.py", "if not fits or (", "if False and ("),
        ),
    ),
    Guard(
        "C6",
        "the root at the change is that which was declared",
        f"{_CHANGE}::test_an_old_key_cannot_rewrite_what_was_before_the_change",
        (Edit("audit/log_keys.py", "checkpoint.root != since.root)", "False)"),),
    ),
    Guard(
        "C6",
        "batches are signed by the key of their time",
        f"{_CHANGE}::test_batches_of_the_old_key_do_not_count_after_the_change",
        (Edit("audit/log_keys.py", "    return keys.of_generation(generation).keys if", "    return keys if"),),
    ),
    Guard(
        "C7",
        "the last entry of the old key names the new one",
        f"{_CHANGE}::test_a_declaration_that_is_not_the_old_keys_word_is_told",
        (Edit("audit/key_changes.py", "        if problem:", "        if False:"),),
    ),
    Guard(
        "N1",
        "a checkpoint is signed in each way that the log signs",
        f"{_WITNESS}::test_one_of_the_logs_two_signatures_is_not_enough",
        (_KINDS,),
    ),
    Guard(
        "N1",
        "only the log's keys sign for the log",
        f"{_COLLUSION}::test_a_witness_signs_no_checkpoint",
        (
            _KINDS,
            Edit(
                "audit/notes.py",
                "    if not signed:\n        raise UntrustedError(",
                "    if False:\n        raise UntrustedError(",
            ),
        ),
    ),
    Guard(
        "N2",
        "what this machine saw is compared",
        f"{_COLLUSION}::test_witnesses_who_collude_hide_no_fork_from_who_looked_before",
        (_REMEMBERED,),
    ),
    Guard(
        "N3",
        "witnesses are counted by name",
        f"{_COLLUSION}::test_one_witness_counts_once",
        (
            Edit(
                "audit/tlog_proofs.py",
                "return {key.name for key in signed} - {key.name for key in witnesses if key not in signed}",
                "return {f'{key.name}{key.kind}' for key in signed}",
            ),
        ),
    ),
]
