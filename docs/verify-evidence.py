#!/usr/bin/env python3
"""Verify the evidence of a run offline: `verify-evidence.py FOLDER [--signer FINGERPRINT] [options]`.

Checks the signature over the manifest (Ed25519 and ML-DSA), every file by the manifest, the chain of the run's journal,
the proofs that the audit log has what is about it (C2SP tlog-proof, cosignatures of witnesses included), and that the
figures of the record agree with each other. `--signer`: the fingerprint of the signing key, learnt on another way:
without it only integrity is shown. Of a drill, whose own key is gone, who ran it may have countersigned: then that
signer counts as well. `--log-key` (repeatable): keys of a log that changed its keys since. `--witness`
(repeatable), `--quorum N`: of the witnesses named here so many must have cosigned each proof; those that the record
names do not count, as who signs it could have made them up. `--require-log`: this evidence must itself be in the log.
Exit code 0: it holds; 1: it does not. Needs Python 3.9 and `cryptography` 47 or newer (for ML-DSA), nothing else.
"""
# ruff: noqa: T201, BLE001, UP017

import argparse
import base64
import hashlib
import json
import struct
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMS = {  # suite: ML-DSA class, bytes of its public key and signature
    "Ed25519 + ML-DSA-65": (mldsa.MLDSA65PublicKey, 1952, 3309),
    "Ed25519 + ML-DSA-87": (mldsa.MLDSA87PublicKey, 2592, 4627),
}
GAP = "NOT_MEASURED"
TOLERANCE = 0.0015  # times are cut to milliseconds


class Wrong(Exception):
    """Why the evidence does not hold."""


def require(good, why):
    if not good:
        raise Wrong(why)


# BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs), as far as fingerprints need it: the mode that derives a key.
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64


def compress(chain, words, counter, length, flags):
    v = [*chain, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        for word, first, second in ((x, 16, 12), (y, 8, 7)):
            v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
            v[d] ^= v[a]
            v[d] = (v[d] >> first | v[d] << (32 - first)) & 0xFFFFFFFF
            v[c] = (v[c] + v[d]) & 0xFFFFFFFF
            v[b] ^= v[c]
            v[b] = (v[b] >> second | v[b] << (32 - second)) & 0xFFFFFFFF

    for _ in range(7):
        for i in range(4):
            mix(i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        words = [words[place] for place in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3(data, key, flags):
    def chunk(part, counter, last):
        chain, blocks = key, [part[at : at + 64] for at in range(0, len(part), 64)] or [b""]
        for place, block in enumerate(blocks):
            words = struct.unpack("<16I", block.ljust(64, b"\0"))
            more = (START if place == 0 else 0) | (END | last if place == len(blocks) - 1 else 0)
            chain = compress(chain, words, counter, len(block), flags | more)
        return chain

    def tree(parts, counter, last):
        if len(parts) == 1:
            return chunk(parts[0], counter, last)
        left = 1 << ((len(parts) - 1).bit_length() - 1)
        words = tree(parts[:left], counter, 0) + tree(parts[left:], counter + left, 0)
        return compress(key, words, 0, 64, flags | PARENT | last)

    chunks = [data[at : at + 1024] for at in range(0, len(data), 1024)] or [b""]
    return tree(chunks, 0, ROOT)


def fingerprint(public):
    key = blake3(b"holdfast 1 signer", IV, CONTEXT)
    return struct.pack("<8I", *blake3(public, key, MATERIAL))[:16].hex()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parsed(data, name):
    def unique(pairs):
        require(len(dict(pairs)) == len(pairs), f"{name} says something twice")
        return dict(pairs)

    try:
        return json.loads(data, object_pairs_hook=unique)
    except ValueError as error:
        raise Wrong(f"{name} is no JSON: {error}") from None


def signed_by(files, name, purpose):
    signed, manifest = parsed(files[name], name), files["manifest.json"]
    require(signed["suite"] in FORMS and signed["schema_version"] == 2, f"{name} is of an unknown form")
    reader, public_size, signature_size = FORMS[signed["suite"]]
    public, signature = (base64.b64decode(signed[name], validate=True) for name in ("public_key", "signature"))
    require(len(public) == 32 + public_size and len(signature) == 64 + signature_size, f"{name} has other sizes")
    actual = fingerprint(public)
    said = {"fingerprint": actual, "schema_version": 2, "suite": signed["suite"]}
    said |= {name: base64.b64encode(one).decode() for name, one in (("public_key", public), ("signature", signature))}
    written = json.dumps(said, indent=1, sort_keys=True).encode() + b"\n"
    require(files[name] == written, f"{name} was changed")
    message = purpose + b"\0" + manifest
    try:
        Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], message)
        reader.from_public_bytes(public[32:]).verify(signature[64:], message, b"holdfast 1")
    except Exception:
        raise Wrong(f"the signature does not verify: the manifest or {name} was changed") from None
    return actual, signed["suite"]


def check_signature(files, signer):
    actual, suite = signed_by(files, "manifest.sig", b"holdfast 1 evidence manifest")
    counter = None
    if "countersign.sig" in files:
        counter, _ = signed_by(files, "countersign.sig", b"holdfast 1 evidence countersignature")
    who = f"{actual}, countersigned by {counter}" if counter else actual
    require(signer is None or signer.strip().lower() in (actual, counter), f"it is signed by {who}, not by {signer}")
    found = parsed(files["manifest.json"], "manifest.json")
    require((found["signer"], found["suite"]) == (actual, suite), "the manifest names another signer")
    return found, who


def check_files(manifest, files):
    named = {one["name"]: one for one in manifest["files"]}
    beside = ("manifest.json", "manifest.sig", "countersign.sig")
    rest = {name for name in files if name not in beside and not name.startswith("proofs/")}
    require(set(named) == rest, f"files are missing or too many: {', '.join(sorted(set(named) ^ rest))}")
    for name, one in named.items():
        same = len(files[name]) == one["size_bytes"] and sha256(files[name]) == one["sha256"]
        require(same, f"{name} is not the file that was signed")


def check_journal(record, data):
    trust = record["trust"].get("journal")
    require((data is None) == (trust is None), "the record names a journal and it is not here, or the other way round")
    if data is None:
        return 0
    journal, before, number = parsed(data, "journal.json"), "0" * 64, -1
    for place, one in enumerate(journal["entries"]):
        entry = one["entry"]
        right = (entry["run"], entry["before"]) == (journal["run"], before) and entry["number"] > number
        require(right, f"entry {place} of the journal does not continue the one before it")
        before, number = one["stored_sha256"], entry["number"]
    said = (trust["run"], trust["entries"], trust["head"], trust["stores"])
    here = (journal["run"], len(journal["entries"]), before, journal["stores"])
    require(said == here, "the journal is not the one that the record names")
    plan = journal["entries"][0]["entry"].get("plan", "").encode()
    require(sha256(plan) == record["identity"]["plan"]["sha256"], "the journal holds another plan")
    entries = [one["entry"] for one in journal["entries"]]
    check_journal_figures(record, entries)
    check_costs_by(record, entries)
    return len(journal["entries"])


def check_journal_figures(record, entries):
    """The outcome, and when each step ended, are those of the journal."""
    outcome = record["results"]["outcome"]
    if not record["identity"]["drill"] or outcome == "PASSED":  # a drill can fail though its recovery passed
        ended = [one["text"] for one in entries if one["deed"] == "ended"]
        require(ended[:1] == [outcome], "the journal ended otherwise than the record says")
    taken = next((one.get("facts", {}) for one in entries if one["deed"] == "taken"), {})
    texts = {one["text"] if isinstance(one, dict) else one for one in record["deviations"]}
    for warning in (taken[name] for name in taken if name.startswith("warning")):
        code, about, reason = [*warning.split(": ", 2), "", ""][:3]
        told = f"The review warned: {about}: {reason} ({code})" in texts
        require(told, f"the record leaves out what the review warned of: {code}")
    for row in record["steps"]:
        said = [one for one in entries if one.get("step") == row["step"] and one["deed"] == "done"]
        if row["result_sha256"]:
            facts = said[-1].get("facts", {}) if said else None
            told = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            require(sha256(told) == row["result_sha256"], f"the result of {row['step']} is not that of the journal")
        of_it = [one for one in entries if one.get("step") == row["step"]]
        deeds = {one["deed"] for one in of_it}
        known = row["state"] in deeds or (row["state"] == "not begun" and not deeds)
        require(known, f"the journal does not say that {row['step']} is {row['state']}")
        for end, wanted in (("begun_utc", {"begun"}), ("ended_utc", {"done", "failed", "dropped"})):
            times = [one["at"] for one in of_it if one["deed"] in wanted]
            near = not row[end] or any(abs(nanoseconds(row[end]) - at) <= TOLERANCE * 1e9 for at in times)
            require(near, f"the journal has another time at which {row['step']} began or ended")


def check_costs_by(record, entries):
    """Machines, times, bytes and requests of the costs are those that the journal tells at the last end of a step."""
    costs = record.get("costs")
    if costs is None:
        return
    for rows, kind in ((costs["compute"], "get-compute"), (costs["reading"], "restore")):
        begun = {one["step"] for one in record["steps"] if one["kind"] == kind and one["begun_utc"]}
        require({one["step"] for one in rows} == begun, f"the costs leave out, or make up, a step {kind}")
    for row in costs["compute"] + costs["reading"]:
        ends = [one for one in entries if one["deed"] == "done" and one.get("step") == row["step"]]
        facts = ends[-1].get("facts", {}) if ends else {}
        told = {"machines": "machines", "bytes": "read_bytes", "requests": "read_requests"}
        for name, fact in told.items():
            nothing = facts.get("standing") is True and name in ("bytes", "requests") and row.get(name) == 0
            same = row.get(name, GAP) == GAP or nothing or row[name] == facts.get(fact)
            require(same, f"the journal tells of {row['step']} another number of {name} than the costs count")
        if row.get("seconds", GAP) != GAP:
            took = (nanoseconds(row["ended_utc"]) - nanoseconds(row["begun_utc"])) / 1e9
            agree(row["seconds"], took, f"the machines of {row['step']} were there for another time")
            times = [one["at"] for one in entries if one["deed"] in ("done", "undone", "ended")]
            right = all(
                any(abs(nanoseconds(row[end]) - at) <= TOLERANCE * 1e9 for at in times)
                for end in ("begun_utc", "ended_utc")
            )
            require(bool(ends) and right, f"the journal does not know the times at which {row['step']} had machines")


def check_costs(record):
    """That each cost follows from the inputs beside it, and the sums from them."""
    costs = record.get("costs")
    if costs is None:
        return
    for row in costs["compute"]:
        hours = product(row["machines"], row["seconds"])
        cost_is(row["gpu_hours"], product(hours, row["gpus"]), 3600, row["step"])
        cost_is(row["amount"], product(hours, row["price_per_hour"]), 3600, row["step"])
    for row in costs["reading"]:
        parts = [(row["bytes"], row["egress_per_gb"], row["egress_gb"])]
        parts += [(row["bytes"], row["retrieval_per_gb"], row["gb"]), (row["requests"], row["price_per_1000"], 1000)]
        amounts = [GAP if GAP in part else part[0] * part[1] / part[2] for part in parts]
        nothing = (row["bytes"], row["requests"]) == (0, 0)
        cost_is(row["amount"], 0 if nothing else added(amounts), 1, row["step"])
    rto = added([record["results"]["measured"]["split"][name] for name in ("detect", "decide", "execute", "verify")])
    for row in costs["lost"]:
        where = product(row["machines"], row["gpus"])
        cost_is(row["rework_gpu_hours"], product(where, product(row["steps"], row["step_seconds"])), 3600, row["asset"])
        cost_is(row["idle_gpu_hours"], product(where, row["idle_seconds"]), 3600, row["asset"])
        if row["idle_seconds"] != GAP:
            agree(row["idle_seconds"], rto, f"the GPUs of {row['asset']} were idle for another time than the RTO")
        cost_is(row["gpu_hours"], added([row["rework_gpu_hours"], row["idle_gpu_hours"]]), 1, row["asset"])
        worth = GAP if GAP in (row["gpus"], row["price_per_hour"]) or not row["gpus"] else row["price_per_hour"]
        cost_is(row["amount"], product(row["gpu_hours"], worth), row["gpus"] or 1, row["asset"])
    spent = [one["amount"] for one in costs["compute"] + costs["reading"]]
    cost_is(costs["spent"], added(spent), 1, "the whole")
    cost_is(costs["gpu_hours"], added([one["gpu_hours"] for one in costs["lost"]]), 1, "the whole")
    cost_is(costs["lost_amount"], added([one["amount"] for one in costs["lost"]]), 1, "the whole")


def product(first, second):
    return GAP if GAP in (first, second) else first * second


def added(parts):
    return GAP if not parts or GAP in parts else sum(parts)


def cost_is(told, computed, over, what):
    if GAP not in (told, computed):
        near = abs(told - computed / over) <= 3e-6 + 1e-9 * abs(told)
        require(near, f"a cost of {what} does not follow from the figures beside it")
    else:
        require(told == computed, f"a cost of {what} is told, and an input of it is not, or the other way round")


def nanoseconds(text):
    moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * 10**9 + moment.microsecond * 1000


def check_figures(record):
    """That the figures of the record follow from each other."""
    results, offsets = record["results"], [one["offset_seconds"] for one in record["timeline"]]
    require(offsets == sorted(offsets), "the timeline goes back in time")
    first = {}
    for one in record["timeline"]:
        first.setdefault(one["kind"], one)
    measured, verdict = results["measured"], results["verdict"]
    bounds, parts = ("fault", "detected", "decided", "executed", "verified"), ("detect", "decide", "execute", "verify")
    for name, begin, end in zip(parts, bounds[:4], bounds[1:]):  # noqa: B905 - not in Python 3.9
        there = "fault" in first and begin in first and end in first
        seconds = first[end]["offset_seconds"] - first[begin]["offset_seconds"] if there else GAP
        agree(measured["split"][name], seconds, f"the part '{name}' of the RTO is not the distance of its moments")
    known = [measured["split"][name] for name in parts]
    bad = [one for one in known if one != GAP and one < 0]
    agree(verdict["rto"]["measured"], GAP if GAP in known or bad else sum(known), "the RTO is not the sum of its parts")
    require((measured["fault_ns"] == GAP) == ("fault" not in first), "the fault has a time, or a moment, but not both")
    lost = GAP
    if GAP not in (measured["fault_ns"], measured["content_ns"]) and measured["restored"] and measured["verified"]:
        near = abs(nanoseconds(first["fault"]["utc"]) - measured["fault_ns"]) <= TOLERANCE * 1e9
        require(near, "the RPO was not counted from the fault on the timeline")
        lost = rpo(measured["fault_ns"], measured["content_ns"], measured["last_change_ns"]) / 1e9
    agree(verdict["rpo"]["measured"], lost, "the RPO is not the time between the recovery point and the fault")
    agree(verdict["copies"]["measured"], measured["copies"], "the number of copies is told twice, and differs")
    objective = record["targets"]["objective"]
    for name, target in (("rpo", "rpo_seconds"), ("rto", "rto_seconds"), ("copies", "copies")):
        one, wanted = verdict[name], objective[target]
        require(one["target"] == wanted, f"the target of {name} is told twice, and differs")
        require(one["state"] == state_of(name, one["measured"], wanted, bool(bad)), f"the verdict of {name} is wrong")
    points = [one for one in record["snapshots"] if one["snapshot_id"] == results["recovery_point"]]
    require(not measured["restored"] or bool(points), "what was restored is not among the snapshots")
    require(all(one["content_ns"] == measured["content_ns"] for one in points), "the recovery point has another time")
    checks = record["integrity"]["checks"]
    for one in checks:
        same = one["result"] != "PASSED" or one["expected"] == one["actual"]
        require(same, f"the check '{one['name']}' says PASSED, and what it compared differs")
    if results["outcome"] == "PASSED":
        require(bool(checks) and all(one["result"] != "FAILED" for one in checks), "it says PASSED, and checks did not")
    for row in record["steps"]:
        if row["seconds"] != GAP:
            took = (nanoseconds(row["ended_utc"]) - nanoseconds(row["begun_utc"])) / 1e9
            agree(row["seconds"], took, f"the step {row['step']} took another time than its ends are apart")


def rpo(fault, content, change):
    if content > fault or change == GAP:
        return fault - content
    if change > fault:
        return fault - change
    return 0 if content >= change else fault - content


def state_of(name, value, target, impossible):
    if name == "rto" and impossible:
        return "INVALID"
    if value == GAP:
        return GAP
    if value < 0 or target is None:
        return "INVALID"
    return "MET" if (value >= target if name == "copies" else value <= target) else "MISSED"


def agree(told, computed, why):
    if GAP in (told, computed):
        require(told == computed, why)
    else:
        require(abs(told - computed) <= TOLERANCE, why)


NOTE, COSIGNATURE, MLDSA = 1, 4, 6


def key_of(vkey):
    name, key_id, data = vkey.strip().split("+", 2)
    raw = base64.b64decode(data, validate=True)
    require(sha256(name.encode() + b"\n" + raw)[:8] == key_id, f"the key of {name} is damaged")
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def verify_line(key, text, blob):
    name, _, kind, public = key
    stamp, signature = (b"", blob[4:]) if kind == NOTE else (blob[4:12], blob[12:])
    if kind == MLDSA:
        origin, size, root = text.split("\n")[:3]
        who, log = (bytes([len(one.encode())]) + one.encode() for one in (name, origin))
        tree = bytes(8) + int(size).to_bytes(8, "big") + base64.b64decode(root)
        message = b"subtree/v1\n\0" + who + stamp + log + tree
        mldsa.MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    else:
        head = {NOTE: "", COSIGNATURE: f"cosignature/v1\ntime {int.from_bytes(stamp, 'big')}\n"}[kind]
        Ed25519PublicKey.from_public_bytes(public).verify(signature, (head + text).encode())


def root_from(entry, index, size, hashes):  # RFC 9162, section 2.1.3.2
    require(0 <= index < size, "no such entry in that log")
    reached, last = hashlib.sha256(b"\0" + entry).digest(), size - 1
    for beside in hashes:
        require(last != 0 and len(beside) == 32, "the proof is malformed")
        left = index & 1 or index == last
        reached = hashlib.sha256(b"\1" + (beside + reached if left else reached + beside)).digest()
        while left and not index & 1 and index:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    return b"" if last else reached


def exact(text, name):
    data = base64.b64decode(text, validate=True)
    require(base64.b64encode(data).decode() == text, f"{name} was changed")
    return data


def check_proof(name, data, log, options):
    head, note = data.decode().split("\n\n", 1)
    text, signatures = note.rsplit("\n\n", 1)
    text, lines = text + "\n", head.split("\n")
    require(lines.pop(0) == "c2sp.org/tlog-proof@v1", f"{name} is no tlog-proof")
    require(lines[0].startswith("extra ") and lines[1].startswith("index "), f"{name} has no entry")
    entry, index = exact(lines[0][6:], name), int(lines[1][6:])
    require(name == f"proofs/{index}.tlog-proof" and lines[1] == f"index {index}", f"{name} is of another place")
    origin, size, root = text.split("\n")[:3]
    require(text == f"{log['origin']}\n{int(size)}\n{root}\n", f"{name} is of another log")
    hashes = [exact(one, name) for one in lines[2:]]
    require(root_from(entry, index, int(size), hashes) == exact(root, name), f"{name}: the entry is not in the log")
    log_keys = [key_of(one) for one in (options.log_key or log["keys"])]
    named = [key_of(one) for one in options.witness]
    witnesses = [*(key_of(one) for one in log["witnesses"]), *named]
    known, seen = {key[:2]: key for key in [*log_keys, *witnesses]}, set()
    require(signatures.endswith("\n"), f"{name} was changed")
    for line in signatures[:-1].split("\n"):
        dash, by, encoded = line.split(" ")
        blob = exact(encoded, name)
        fresh = (by, blob[:4]) in known and (by, blob[:4]) not in seen
        require(dash == "\u2014" and fresh, f"{name}: unknown signer {by}")
        try:
            verify_line(known[by, blob[:4]], text, blob)
        except Exception:
            raise Wrong(f"{name}: the signature of {by} does not verify") from None
        seen.add((by, blob[:4]))
    require({key[:2] for key in log_keys} <= seen, f"{name}: the log has not signed with each of its keys")
    cosigned, counted = (
        {key[0] for key in some} - {key[0] for key in some if key[:2] not in seen} - {origin}
        for some in (witnesses, named)
    )
    enough = len(counted) >= options.quorum
    require(enough, f"{name}: too few of the witnesses that you named have cosigned (--witness)")
    leaf = json.loads(entry)
    return leaf.get("entry", leaf), index, int(size), cosigned


def check_proofs(record, manifest, files, options):
    log, told = record["trust"].get("log"), []
    proofs = {name: data for name, data in files.items() if name.startswith("proofs/")}
    require(log is not None or not proofs, "there are proofs of a log, and the record names none")
    plan = (record["identity"]["plan"] or {}).get("sha256")
    found, itself = set(), False
    for name, data in sorted(proofs.items()):
        try:
            entry, index, size, cosigned = check_proof(name, data, log, options)
        except (ValueError, KeyError, IndexError, struct.error) as error:
            raise Wrong(f"{name} is malformed: {error}") from None
        objects = entry["objects"]
        mine = objects.get("evidence") == sha256(manifest)
        require(mine or (plan and objects.get("plan") == plan), f"{name} proves an entry about something else")
        itself, found = itself or mine, found | {entry["id"]}
        seen = f", cosigned by {', '.join(sorted(cosigned))}" if cosigned else ", cosigned by no witness"
        told.append(f"log: entry {index} of {size}: {shown(entry['action'])} {shown(entry['outcome'])}{seen}")
    missing = {one["id"] for one in log["entries"]} - found if log else set()
    require(not missing, f"the record says that the log had {', '.join(sorted(missing))}, and no proof is here")
    require(itself or not options.require_log, "nothing proves that this evidence itself is in the log")
    return told


def shown(text):
    return "".join(one if one.isprintable() else "?" for one in str(text))


def read(folder):
    files = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    for name in ("manifest.sig", "manifest.json", "evidence.json"):
        require(name in files, f"{name} is missing")
    return files


def verify(options):
    files = read(options.folder)
    manifest, who = check_signature(files, options.signer)
    check_files(manifest, files)
    record = parsed(files["evidence.json"], "evidence.json")
    require(record["schema_version"] == 2, "the record is of another version than this script knows")
    identity = record["identity"]
    require((manifest["record_id"], manifest["run"]) == (identity["record_id"], identity["run"]), "another record")
    check_figures(record)
    check_costs(record)
    entries = check_journal(record, files.get("journal.json"))
    told = check_proofs(record, files["manifest.json"], files, options)
    results = record["results"]
    print(f"record {shown(identity['record_id'])}: {shown(identity['title'])}")
    print(f"run {shown(results['outcome'])}; ", end="")
    print("; ".join(f"{name.upper()} {one['measured']} {one['state']}" for name, one in results["verdict"].items()))
    print(f"journal: {entries} entries, chain unbroken" if entries else "journal: this record has none")
    print("\n".join(told) or "log: nothing here is proven to be in an audit log")
    trusted = (
        "whom you named" if options.signer is not None else "compare this fingerprint with one from elsewhere: --signer"
    )
    print(f"holds: {len(files)} files, signed by {who} ({trusted})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--signer")
    parser.add_argument("--log-key", action="append", default=[])
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("--require-log", action="store_true")
    try:
        verify(parser.parse_args())
    except Exception as error:
        why = error if isinstance(error, Wrong) else f"it is malformed ({type(error).__name__}: {error})"
        sys.exit(f"DOES NOT HOLD: {shown(why)}")
