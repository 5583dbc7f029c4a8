"""Guards against whoever reads or writes a store (rows S and O), or owns a whole site (L)."""

from __future__ import annotations

from .model import Edit, Guard

__all__ = ["GUARDS"]

_DOCUMENTS, _PACKS, _NAMES = "vault/format/documents.py", "vault/format/packs.py", "vault/format/names.py"
_CONFIG = "vault/access/configuration.py"
_THREATS = "tests/recovery/test_threats.py"
_ROLES = "tests/recovery/test_roles.py"
_LOCKING = "tests/unit/vault/test_locking.py"
_HIDDEN = "tests/unit/vault/test_hidden_snapshots.py"

GUARDS = [
    Guard(
        "S1",
        "content is sealed",
        f"{_ROLES}::test_nothing_that_was_saved_can_be_read_from_the_store",
        (
            Edit(_PACKS, "self._cipher = self._keys.cipher(key)", "self._cipher = PlainCipher(key)"),
            Edit(_PACKS, "self._cipher = keys.cipher(open_key(private", "self._cipher = PlainCipher(open_key(private"),
        ),
    ),
    Guard(
        "S1",
        "records are sealed",
        f"{_ROLES}::test_nothing_that_was_saved_can_be_read_from_the_store",
        (
            Edit(
                _DOCUMENTS,
                "seal_key(epoch.public, key, _key_info(header, bound)), keys.cipher(key)",
                "seal_key(epoch.public, key, _key_info(header, bound)), PlainCipher(key)",
            ),
            Edit(_DOCUMENTS, "return keys.cipher(open_key(private", "return PlainCipher(open_key(private"),
        ),
    ),
    Guard(
        "S1",
        "names of assets are keyed hashes",
        f"{_ROLES}::test_nothing_that_was_saved_can_be_read_from_the_store",
        (
            Edit(
                _NAMES,
                'blake3(b"asset\\0" + _checked(asset, "the asset name"), key=self._name).hexdigest(16)',
                '_checked(asset, "the asset name").decode()',
            ),
        ),
    ),
    Guard(
        "S2",
        "names of objects depend on the vault's key",
        f"{_THREATS}::test_the_same_content_has_other_names_in_another_vault",
        (Edit(_NAMES, "key=chunk_id_key).digest()", "key=bytes(32)).digest()"),),
    ),
    Guard(
        "S3",
        "names in the audit log are keyed hashes",
        "tests/integration/test_audit_recording.py::test_a_life_is_recorded_verb_by_verb_without_a_plain_name",
        (
            Edit(
                "audit/journal.py",
                'return blake3(f"{kind}\\0".encode() + data, key=self._key).hexdigest(16)',
                "return data.decode()",
            ),
        ),
    ),
    Guard(
        "O1",
        "signatures are verified",
        f"{_THREATS}::test_a_strangers_snapshot_is_refused",
        (Edit(_DOCUMENTS, "        _verify(signer.public, kind, name, data, frame)\n", ""),),
    ),
    Guard(
        "O1",
        "signers are those that the configuration lists",
        f"{_THREATS}::test_a_strangers_snapshot_is_refused",
        (
            Edit(
                "vault/format/keys.py",
                "signer = self._trusted.get(mark)\n        if signer is None or",
                "signer = self._trusted.get(mark, self.config.signers[0])\n        if signer is None or",
            ),
            Edit(_DOCUMENTS, "        _verify(signer.public, kind, name, data, frame)\n", ""),
        ),
    ),
    Guard(
        "O1",
        "the Ed25519 half counts",
        "tests/unit/trust/test_signatures.py::test_one_genuine_half_is_not_enough",
        (Edit("trust/signing.py", "        ed.verify(signature[:_ED_SIGNATURE], message)\n", ""),),
    ),
    Guard(
        "O1",
        "the ML-DSA half counts",
        "tests/unit/trust/test_signatures.py::test_one_genuine_half_is_not_enough",
        (Edit("trust/signing.py", "        ml.verify(signature[_ED_SIGNATURE:], message, _CONTEXT)\n", ""),),
    ),
    Guard(
        "O2",
        "what is read has the id that was asked for",
        "tests/unit/vault/test_hostile_index.py::test_junk_under_an_honest_name_is_found_by_decoding",
        (Edit("vault/restoring/decoding.py", "if names.chunk_id(data) != chunk:", "if False:"),),
    ),
    Guard(
        "O2",
        "a part has the id that the root names",
        f"{_THREATS}::test_a_part_is_not_put_in_the_place_of_another",
        (Edit("vault/snapshots/finding.py", "if handle.keys.names.part_id(body) != part:", "if False:"),),
    ),
    Guard(
        "O3",
        "a document is bound to its name",
        "tests/unit/vault/test_documents.py::test_a_document_is_bound_to_its_name_and_kind",
        (
            Edit(
                _DOCUMENTS,
                "return INDEX.encode() if kind is Kind.INDEX else name.encode()",
                'return name.encode() if kind is Kind.CONFIG else b""',
            ),
        ),
    ),
    Guard(
        "O4",
        "only a trusted keeper's configuration counts",
        "tests/unit/vault/test_config_trust.py::test_the_generations_that_count",
        (Edit(_CONFIG, "if stored.signer not in trusted or keeper is None:", "if keeper is None:"),),
    ),
    Guard(
        "O4",
        "the configuration's signature is verified",
        "tests/unit/vault/test_config_trust.py::test_an_older_generation_with_a_bad_signature_is_passed_over",
        (Edit(_CONFIG, "        verify_signature(keeper.public)\n", "        pass\n"),),
    ),
    Guard(
        "O5",
        "another vault in its place is noticed",
        "tests/recovery/test_known_vaults.py::test_a_plain_vault_in_the_place_of_mine",
        (
            Edit(
                "control/vaults/known_vaults.py",
                "if seen is None or (seen.vault == vault_id and _may_follow(seen.suite, suite)):",
                "if True:",
            ),
        ),
    ),
    Guard(
        "O5",
        "a configuration that went back is noticed",
        "tests/recovery/test_known_vaults.py::test_a_configuration_that_goes_back",
        (
            Edit(
                "control/vaults/known_vaults.py",
                "        if seen is not None and not anew:\n",
                "        if 0 and seen is not None:\n",
            ),
        ),
    ),
    Guard(
        "O5",
        "another history of the same length is noticed",
        "tests/recovery/test_configurations_taken_back.py::test_another_history_of_the_same_length",
        (
            Edit(
                "vault/access/descent.py",
                "    if config.generation == seen.generation or not _descends(store, seen, config):\n",
                "    if False:\n",
            ),
        ),
    ),
    Guard(
        "O5",
        "another keeper of public data is noticed",
        "tests/recovery/test_configurations_taken_back.py::test_a_public_vault_without_a_key_keeps_its_keepers",
        (
            Edit(
                "vault/access/descent.py",
                "        if stored.signer not in trusted or stored.signer not in keepers:\n",
                "        if stored.signer not in keepers:\n",
            ),
        ),
    ),
    Guard(
        "O5",
        "a lowered suite is noticed",
        "tests/recovery/test_second_suite.py::test_this_machine_notices_a_lowered_suite",
        (
            Edit(
                "control/vaults/known_vaults.py",
                "return before == now or (before != Suite.PLAIN and now > before)",
                "return True",
            ),
            Edit(
                "control/vaults/known_vaults.py",
                "        if seen is not None and not anew:\n",
                "        if 0 and seen is not None:\n",
            ),
        ),
    ),
    Guard(
        "O6",
        "what a snapshot needs is locked",
        f"{_LOCKING}::test_a_protected_snapshot_outlives_the_destruction_of_all_that_is_not_locked",
        (
            Edit(
                "vault/locking/protecting.py",
                "for keys in (reach.data | lasting, {reach.root}):",
                "for keys in (lasting, {reach.root}):",
            ),
        ),
    ),
    Guard(
        "O6",
        "the configuration is locked",
        f"{_LOCKING}::test_a_protected_snapshot_outlives_the_destruction_of_all_that_is_not_locked",
        (Edit("vault/locking/reach.py", "for prefix in (CONFIG, LOCKS, INDEX)", "for prefix in (LOCKS, INDEX)"),),
    ),
    Guard(
        "O6",
        "locks of what is shared grow",
        f"{_LOCKING}::test_what_a_new_snapshot_shares_with_old_ones_is_locked_for_as_long_as_the_new_one",
        (
            Edit(
                "vault/locking/protecting.py",
                "    lacking = memory.lacking(keys, wished.wanted)\n",
                "    lacking = [key for key in keys if memory.lacking([key], Retention(Mode.GOVERNANCE, 1))]\n",
            ),
        ),
    ),
    Guard(
        "O6",
        "bases of deltas are locked",
        f"{_LOCKING}::test_delta_bases_are_locked_with_the_delta",
        (Edit("vault/locking/reach.py", "if base and base not in seen and depth < _CHAIN_MAX:", "if False:"),),
    ),
    Guard(
        "O6",
        "what a snapshot needs that was hidden is locked on",
        f"{_HIDDEN}::test_hiding_a_root_and_waiting_destroys_nothing",
        (
            Edit(
                "vault/locking/extending.py",
                "chosen |= {(key, there[key].version): there[key] for key in needed if key in there}",
                "assert needed, there",
            ),
        ),
    ),
    Guard(
        "O6",
        "what was hidden is locked on",
        f"{_HIDDEN}::test_hiding_a_root_and_waiting_destroys_nothing",
        (
            Edit(
                "vault/locking/extending.py",
                "kept = [one for one in hidden if one.is_kept(self._terms.period, self._now)]",
                "kept = [one for one in hidden[:0]]",
            ),
        ),
    ),
    Guard(
        "O6",
        "what was overwritten comes back",
        "tests/recovery/test_ransomware.py::test_in_memory",
        (
            Edit(
                "vault/locking/recovering.py",
                "            if current is not None:\n                why",
                "            if False:\n                why",
            ),
        ),
    ),
    Guard(
        "O7",
        "a lock setting that was taken away is followed",
        f"{_LOCKING}::test_a_setting_that_was_taken_away_is_followed_all_the_same",
        (
            Edit(
                "vault/locking/setting.py",
                "if known is not None and (found is None or found.generation < known.generation):",
                "if False:",
            ),
        ),
    ),
    Guard(
        "O8",
        "no pickle is run",
        "tests/unit/regions/test_region_torch.py::test_nothing_in_a_pickle_is_run",
        (
            Edit(
                "vault/regions/torch_pickle.py",
                "    machine = _Machine(data)\n    try:\n",
                "    machine = _Machine(data)\n    import pickle\n\n    pickle.loads(data)\n    try:\n",
            ),
        ),
    ),
    Guard(
        "O9",
        "what unpacks to too much is refused",
        "tests/unit/vault/test_config_trust.py::test_a_configuration_that_unpacks_to_more_than_a_mebibyte",
        (Edit(_DOCUMENTS, "if size > body_max(kind):", "if False:"),),
    ),
    Guard(
        "L1",
        "what snapshots refer to is copied",
        "tests/recovery/test_replication.py::test_a_replica_outlives_its_source",
        (
            Edit(
                "replication/copying/mirroring.py",
                "for prefix in (PACKS, INDEX, PARTS)]",
                "for prefix in (INDEX, PARTS)]",
            ),
        ),
    ),
    Guard(
        "L2",
        "a damaged pack is not sent on",
        "tests/recovery/test_replication.py::test_damage_at_the_source_stays_there",
        (Edit("replication/copying/objects.py", "        scrub_object(key, data)\n", ""),),
    ),
    Guard(
        "L2",
        "a forged configuration is not sent on",
        "tests/recovery/test_replicas_in_trouble.py::test_a_forged_configuration_stays_where_it_is",
        (Edit("replication/copying/trusting.py", "if not _signed(stored, verify_signature, keepers):", "if False:"),),
    ),
    Guard(
        "L3",
        "another history of the log is not taken over",
        "tests/integration/test_audit_recording.py::test_a_copy_of_the_log_is_sound_at_each_moment_and_another_history_is_refused",
        (
            Edit(
                "audit/copying.py",
                "if not create_same(self._target, info.key, data):",
                "if not create_same(self._target, info.key, data) and False:",
            ),
        ),
    ),
]
