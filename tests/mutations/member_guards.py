"""Guards against whoever has a writer's key (rows W), or a reader's or some shares (rows R)."""

from __future__ import annotations

from .model import Edit, Guard

__all__ = ["GUARDS"]

_KEYS, _DOCUMENTS, _PACKS = "vault/format/keys.py", "vault/format/documents.py", "vault/format/packs.py"
_ROOTS = "vault/snapshots/roots.py"
_THREATS = "tests/recovery/test_threats.py"
_MEMBERS = "tests/recovery/test_threats_by_members.py"
_ROLES = "tests/recovery/test_roles.py"
_HOSTILE = "tests/unit/vault/test_collecting_hostile.py"
_RANKS = "tests/recovery/test_rank_threats.py"
_ANNOUNCING = "vault/saving/announcing.py"
_FOR_MEMBERS = "frozenset({Kind.INDEX, Kind.LEASE, Kind.TRASH, Kind.EVIDENCE})"
_REVOKED_AFTER = "if signer.revoked is not None and root.created >= signer.revoked:"
_GROUPS = "tests/recovery/test_audit_groups.py"

GUARDS = [
    Guard(
        "W1",
        "packs are sealed to the epoch, whose key writers lack",
        f"{_THREATS}::test_a_writers_keys_open_nothing_that_holds_content_or_names",
        (
            Edit(
                _PACKS,
                "self._cipher = self._keys.cipher(key)",
                "self._cipher = self._keys.cipher(self._keys.index_key)",
            ),
            Edit(
                _PACKS,
                '        keys.require_reader(f"reading {name}")\n',
                "        self._cipher = keys.cipher(keys.index_key)\n        return\n",
            ),
        ),
    ),
    Guard(
        "W1",
        "verbs that read ask for a key that reads",
        f"{_ROLES}::test_a_writer_cannot_read",
        (Edit(_KEYS, "        if not self.can_read:\n", "        if False:\n"),),
    ),
    Guard(
        "W2",
        "roots are sealed to the epoch",
        f"{_THREATS}::test_a_writers_keys_open_nothing_that_holds_content_or_names",
        (Edit(_KEYS, _FOR_MEMBERS, "frozenset({Kind.INDEX, Kind.LEASE, Kind.TRASH, Kind.EVIDENCE, Kind.ROOT})"),),
    ),
    Guard(
        "W2",
        "pointers are sealed to the epoch",
        f"{_THREATS}::test_a_writers_keys_open_nothing_that_holds_content_or_names",
        (Edit(_KEYS, _FOR_MEMBERS, "frozenset({Kind.INDEX, Kind.LEASE, Kind.TRASH, Kind.EVIDENCE, Kind.REF})"),),
    ),
    Guard(
        "W2",
        "parts are sealed to the epoch",
        f"{_THREATS}::test_a_writers_keys_open_nothing_that_holds_content_or_names",
        (Edit(_KEYS, _FOR_MEMBERS, "frozenset({Kind.INDEX, Kind.LEASE, Kind.TRASH, Kind.EVIDENCE, Kind.PART})"),),
    ),
    Guard(
        "W3",
        "what deletes asks for the keeper's key",
        f"{_THREATS}::test_no_verb_deletes_for_anybody_but_keepers",
        (Edit(_KEYS, 'if self.signer is None or self.role != "keeper":', "if False:"),),
    ),
    Guard(
        "W4",
        "the writer's name is that of the key that signed",
        f"{_THREATS}::test_a_writer_signs_in_no_other_name",
        (Edit(_ROOTS, "return msgspec.structs.replace(root, writer=signer.label)", "return root"),),
    ),
    Guard(
        "W4",
        "a signature is of who is named",
        f"{_THREATS}::test_a_writer_signs_in_no_other_name",
        (Edit(_DOCUMENTS, "        _verify(signer.public, kind, name, data, frame)\n", ""),),
    ),
    Guard(
        "W4",
        "a root is bound to its own name",
        f"{_THREATS}::test_another_writers_snapshot_is_not_altered",
        (
            Edit(
                _DOCUMENTS,
                "return INDEX.encode() if kind is Kind.INDEX else name.encode()",
                'return name.encode() if kind is Kind.CONFIG else b""',
            ),
            Edit(
                _ROOTS,
                "or handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)) != key:",
                "or False:",
            ),
        ),
    ),
    Guard(
        "W5",
        "roots from after a revocation do not count",
        f"{_ROLES}::test_what_a_revoked_writer_adds_all_the_same_does_not_count",
        (Edit(_ROOTS, _REVOKED_AFTER, "if False:"),),
    ),
    Guard(
        "W5",
        "a revoked writer's program stops",
        f"{_ROLES}::test_a_revoked_writer_who_asks_is_told",
        (
            Edit(_KEYS, "return signer is not None and signer.revoked is None", "return signer is not None"),
            Edit(
                "vault/saving/preparing.py",
                "    if mine.revoked is not None and mine.revoked <= now_ns:\n",
                "    if False:\n",
            ),
        ),
    ),
    Guard(
        "W5",
        "a revoked writer's index is ignored",
        "tests/unit/vault/test_hostile_index.py::test_what_a_revoked_signer_lists_is_ignored_whatever_its_date",
        (Edit("vault/index/trust.py", "if signer.revoked is None and signer.role in", "if signer.role in"),),
    ),
    Guard(
        "W5",
        "a revoked writer's audit entries stay out",
        "tests/integration/test_audit_recording.py::test_what_a_revoked_writer_writes_does_not_come_in",
        (Edit("audit/sequencing.py", "if revoked_ns is not None and", "if False and"),),
    ),
    Guard(
        "W6",
        "only keepers sign the configuration",
        f"{_ROLES}::test_a_writer_cannot_govern",
        (
            Edit(
                "vault/access/configuration.py",
                'return {fingerprint(signer.public): signer for signer in config.signers if signer.role == "keeper"}',
                "return {fingerprint(signer.public): signer for signer in config.signers}",
            ),
        ),
    ),
    Guard(
        "W7",
        "writers do not believe each other",
        "tests/recovery/test_save_read_back.py::test_a_writer_takes_no_other_writers_word",
        (Edit("vault/believing.py", "        if self._signers is None:\n", "        if True:\n"),),
    ),
    Guard(
        "W8",
        "every chunk is compared with its id",
        f"{_MEMBERS}::test_a_writers_junk_is_not_restored_as_content",
        (Edit("vault/restoring/decoding.py", "if names.chunk_id(data) != chunk:", "if False:"),),
    ),
    Guard(
        "W9",
        "a pack goes only when what replaces it was decoded",
        f"{_HOSTILE}::test_junk_under_the_names_of_chunks_in_a_pack_that_no_index_lists",
        (
            Edit(
                "vault/collecting/superseding.py",
                "wrong = check_whole(handle, handle.reader(), seen, data)",
                "wrong = {}",
            ),
        ),
    ),
    Guard(
        "W9",
        "only its holder ends a lease",
        f"{_HOSTILE}::test_nobody_ends_the_lease_of_another",
        (Edit("vault/collecting/leases.py", "return record if signer == holder else None", "return record"),),
    ),
    Guard(
        "W9",
        "only keepers condemn",
        f"{_MEMBERS}::test_a_writer_condemns_nothing",
        (Edit("vault/collecting/trash.py", "if signer.role not in _ROLES[record.state] or (", "if ("),),
    ),
    Guard(
        "W10",
        "only keepers set the lock",
        "tests/unit/vault/test_locking.py::test_a_setting_that_a_writer_signed_counts_for_nothing",
        (
            Edit(
                "vault/locking/setting.py",
                "keys.trusted_signer(Kind.CONFIG, opened.signer, key)",
                "keys._trusted[opened.signer]",
            ),
        ),
    ),
    Guard(
        "W11",
        "only keepers give up parts",
        f"{_MEMBERS}::test_a_writer_gives_up_no_part_of_a_snapshot",
        (Edit(_KEYS, 'Kind.THINNED: ("keeper",),', 'Kind.THINNED: ("keeper", "writer"),'),),
    ),
    Guard(
        "W12",
        "paths stay inside the target",
        f"{_MEMBERS}::test_a_snapshot_of_a_writers_making_writes_nothing_outside",
        (
            Edit(
                "vault/snapshots/manifests.py",
                "if not (_is_placed_inside(entry) and _has_sound_facts(entry)",
                "if not (_has_sound_facts(entry)",
            ),
        ),
    ),
    Guard(
        "W13",
        "an entry speaks for its own signer",
        "tests/unit/audit/test_audit_verify.py::test_an_entry_in_another_members_name_never_gets_in",
        (
            Edit(
                "audit/members.py",
                "if (actor.fingerprint, actor.label, actor.role) !=",
                "if False and (actor.fingerprint, actor.label, actor.role) !=",
            ),
        ),
    ),
    Guard(
        "W13",
        "a group's signature is verified",
        f"{_GROUPS}::test_a_group_that_somebody_else_signed_or_that_speaks_for_another_never_gets_in",
        (Edit("audit/groups.py", "    verify(public, _message(size, root), group.signature)\n", ""),),
    ),
    Guard(
        "W13",
        "an entry is in the group that was signed",
        f"{_GROUPS}::test_an_entry_of_a_group_that_was_changed_or_moved_is_told",
        (
            Edit(
                "audit/groups.py",
                "        verify_inclusion(hash_leaf(statement), at, size, path, root)",
                "        pass",
            ),
        ),
    ),
    Guard(
        "W13",
        "an entry's signature is verified",
        "tests/unit/audit/test_audit_verify.py::test_an_entry_that_was_changed_after_it_was_signed_never_gets_in",
        (Edit("audit/members.py", "    verify_entry(signed", "    0 and verify_entry(signed"),),
    ),
    Guard(
        "W14",
        "a time is bounded by the store's clock",
        "tests/unit/vault/test_wrong_clocks.py::test_what_claims_to_be_of_next_year_does_not_hold_the_pointers",
        (
            Edit(
                "vault/snapshots/advancing.py",
                "if newer and content_time(current) > root.created + CLOCK_SLACK_NS:",
                "if False:",
            ),
        ),
    ),
    Guard(
        "W17",
        "a notice about a site is a keeper's",
        "tests/cli/test_cli_site_states.py::test_nobody_but_a_keeper_can_say_that_a_site_failed",
        (
            Edit(
                "vault/access/site_notices.py",
                "signer = keys.trusted_signer(Kind.CONFIG, opened.signer, key)",
                "signer = keys.trusted_signer(Kind.LEASE, opened.signer, key)",
            ),
        ),
    ),
    Guard(
        "R1",
        "what deletes asks for the keeper's key",
        f"{_THREATS}::test_no_verb_deletes_for_anybody_but_keepers",
        (Edit(_KEYS, 'if self.signer is None or self.role != "keeper":', "if False:"),),
    ),
    Guard(
        "R1",
        "only keys that the configuration lists write",
        f"{_MEMBERS}::test_a_reader_who_makes_a_signing_key_of_his_own_adds_nothing",
        (Edit(_KEYS, "        if not self._counts(self.signer):\n", "        if False:\n"),),
    ),
    Guard(
        "W15",
        "only those announce whom the others name",
        f"{_RANKS}::test_what_a_stranger_announces_gets_into_no_snapshot",
        (Edit(_ANNOUNCING, "    if opened.signer not in record.signers:\n", "    if False:\n"),),
    ),
    Guard(
        "W15",
        "all ranks name the same signers",
        f"{_RANKS}::test_what_a_stranger_announces_gets_into_no_snapshot",
        (Edit(_ANNOUNCING, "    if set(other.signers) != set(first.signers):\n", "    if False:\n"),),
    ),
    Guard(
        "W15",
        "an announcement is bound to its save and rank",
        f"{_RANKS}::test_an_announcement_is_of_its_save_and_rank_only",
        (
            Edit(
                _DOCUMENTS,
                "return INDEX.encode() if kind is Kind.INDEX else name.encode()",
                'return name.encode() if kind is not Kind.ANNOUNCEMENT else b""',
            ),
            Edit(_ANNOUNCING, "    if (record.save, record.rank) != (save, rank) or", "    if"),
        ),
    ),
    Guard(
        "W15",
        "what a revoked key announced does not count",
        f"{_RANKS}::test_one_whose_key_was_revoked_announces_nothing_that_counts",
        (Edit(_ANNOUNCING, "    if signer.revoked is not None:\n", "    if False:\n"),),
    ),
    Guard(
        "W16",
        "announcements open by the secret of their save",
        f"{_RANKS}::test_a_member_who_takes_no_part_reads_no_announcement",
        (
            Edit(
                _DOCUMENTS,
                '"holdfast 1 announcement" + salt, key=shared)',
                '"holdfast 1 announcement" + salt, key=bytes(32))',
            ),
        ),
    ),
    Guard(
        "R2",
        "a new epoch is wrapped for those who stay",
        "tests/recovery/test_openers.py::test_one_that_was_removed_reads_what_was_and_not_what_comes",
        (
            Edit(
                "vault/access/recipients.py",
                "[one for one in epoch.recipients if one.label != label]",
                "list(epoch.recipients)",
            ),
        ),
    ),
    Guard(
        "R3",
        "old packs go when they are sealed anew",
        "tests/recovery/test_resealing.py::test_the_content_is_out_of_reach_of_old_keys",
        (
            Edit(
                "vault/access/resealing.py",
                "going = Copies(handle, self._marked).proven(candidates, self._trash)",
                "going = []",
            ),
        ),
    ),
    Guard(
        "R4",
        "fewer shares than the threshold do not open",
        f"{_MEMBERS}::test_two_shares_that_say_that_two_are_enough",
        (Edit("trust/shares.py", "[(threshold, shares)], secret", "[(2, shares)], secret"),),
    ),
]
