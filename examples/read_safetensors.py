"""A safetensors file inside a snapshot, read through fsspec: its header, then one tensor, without restoring anything.

    python examples/read_safetensors.py VAULT REFERENCE PATH [TENSOR]

REFERENCE is an asset (`llama`), or an asset and which snapshot of it (`llama@validated`, `llama@step=500`).
"""

from __future__ import annotations

import json
import sys

import numpy as np

from holdfast.control.filesystem import HoldfastFileSystem

DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I8": "i1", "U8": "u1", "BOOL": "?"}


def main(vault: str, reference: str, path: str, name: str = "") -> None:
    # By its URL: `fsspec.open("holdfast://<vault id>/llama@validated/model.safetensors")`.
    fs = HoldfastFileSystem(vault=vault)
    with fs.open(f"{reference}/{path}") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for tensor, facts in header.items():
            print(f"{tensor}: {facts['dtype']} {facts['shape']}")

        name = name or next(iter(header))
        begin, end = header[name]["data_offsets"]
        array = np.empty(header[name]["shape"], DTYPES[header[name]["dtype"]])
        file.seek(8 + length + begin)
        if file.readinto(array.reshape(-1).view("u1")) != end - begin:
            raise SystemExit(f"{path} is cut short")
        print(f"{name}: mean {array.mean():.6g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
