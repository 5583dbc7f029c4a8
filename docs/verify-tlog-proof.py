#!/usr/bin/env python3
"""Verify offline that an entry is in a transparency log: `verify-tlog-proof.py PROOF KEY [KEY …] [options]`.

PROOF is a `.tlog-proof` file (c2sp.org/tlog-proof). A KEY is a public key of the log, as `holdfast audit verify` shows
it; every KEY must have signed. `--witness KEY` (repeatable) with `--quorum N`: so many witnesses, by name, must have
cosigned. `--entry FILE`: the entry that is meant; without it, the one that the proof carries is proven and shown.
Exit code 0: proven; 1: not. Needs Python 3.9 and `cryptography` (tried with 50; for ML-DSA-44 keys, one that has them).
"""
# ruff: noqa: T201, BLE001

import argparse
import base64
import hashlib
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NOTE, COSIGNATURE, MLDSA = 1, 4, 6


def key_of(vkey):
    name, key_id, data = vkey.strip().split("+", 2)
    raw = base64.b64decode(data, validate=True)
    if hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] != key_id:
        raise ValueError(f"the key of {name} is damaged")
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def signed_by(key, text, lines):
    name, key_id, kind, public = key
    for line in lines:
        dash, by, encoded = line.split(" ")
        blob = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or by != name or blob[:4] != key_id:
            continue
        stamp, signature = (b"", blob[4:]) if kind == NOTE else (blob[4:12], blob[12:])
        if kind == MLDSA:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

            origin, size, root = text.split("\n")[:3]
            who, log = (bytes([len(one.encode())]) + one.encode() for one in (name, origin))
            tree = bytes(8) + int(size).to_bytes(8, "big") + base64.b64decode(root)
            message = b"subtree/v1\n\0" + who + stamp + log + tree
            MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
        else:
            head = {NOTE: "", COSIGNATURE: f"cosignature/v1\ntime {int.from_bytes(stamp, 'big')}\n"}[kind]
            Ed25519PublicKey.from_public_bytes(public).verify(signature, (head + text).encode())
        return True
    return False


def root_from(entry, index, size, hashes):  # RFC 9162, section 2.1.3.2
    if not 0 <= index < size:
        raise ValueError("no such entry in that log")
    reached, last = hashlib.sha256(b"\0" + entry).digest(), size - 1
    for beside in hashes:
        if last == 0 or len(beside) != 32:
            raise ValueError("the proof is malformed")
        left = index & 1 or index == last
        reached = hashlib.sha256(b"\1" + (beside + reached if left else reached + beside)).digest()
        while left and not index & 1 and index:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    return b"" if last else reached


def verify(options):
    head, note = Path(options.proof).read_bytes().decode().split("\n\n", 1)
    body, signatures = note.rsplit("\n\n", 1)
    text, lines = body + "\n", head.split("\n")
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise ValueError("this is no tlog-proof")
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else b""
    entry = Path(options.entry).read_bytes() if options.entry else extra
    index, (origin, size, root) = int(lines.pop(0).split("index ")[1]), text.split("\n")[:3]
    if root_from(entry, index, int(size), [base64.b64decode(one) for one in lines]) != base64.b64decode(root):
        raise ValueError("the entry is not in the log")
    witnesses, below = [key_of(one) for one in options.witness], signatures.splitlines()
    if any(key[0] != origin or not signed_by(key, text, below) for key in map(key_of, options.key)):
        raise ValueError("the log has not signed it with each of its keys")
    missing = {origin} | {key[0] for key in witnesses if not signed_by(key, text, below)}  # no log is its own witness
    if len({key[0] for key in witnesses} - missing) < options.quorum:
        raise ValueError("too few witnesses have cosigned it")
    shown = "".join(one if one.isprintable() else "?" for one in entry.decode(errors="replace"))
    print(f"proven: entry {index} of the {size} of {origin}\n{shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proof")
    parser.add_argument("key", nargs="+")
    parser.add_argument("--entry")
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--quorum", type=int, default=0)
    try:
        verify(parser.parse_args())
    except Exception as error:
        sys.exit(f"NOT proven: {error or type(error).__name__}")
