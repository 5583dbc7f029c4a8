"""Files as trainers write them, written here byte by byte: no library of the formats has a say."""

from __future__ import annotations

import json
import os
import random
import struct
import zipfile
from pathlib import Path

import numpy as np

SAFETENSORS_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]], seed: int = 1) -> None:
    """Random bytes for each (dtype, shape), in the order given."""
    rng = random.Random(seed)
    header: dict[str, object] = {"__metadata__": {"format": "pt", "note": "ünïcode"}}
    position = 0
    blobs = []
    for name, (dtype, shape) in tensors.items():
        size = int(np.prod(shape, dtype=np.int64)) * SAFETENSORS_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        blobs.append(rng.randbytes(size))
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_gguf(path: Path, seed: int = 2) -> None:
    """Version 3: three metadata values, an F32, an F16 and a Q8_0 tensor, each aligned to 32 bytes."""
    rng = np.random.default_rng(seed)
    tensors = [
        ("token_embd.weight", 0, (64, 32), rng.normal(size=64 * 32).astype("<f4").tobytes()),
        ("blk.0.attn_norm.weight", 1, (64,), rng.normal(size=64).astype("<f2").tobytes()),
        ("output.weight", 8, (64, 4), rng.bytes(64 * 4 // 32 * 34)),
    ]
    out = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 3)
    out += _gguf_text("general.architecture") + struct.pack("<I", 8) + _gguf_text("llama")
    out += _gguf_text("general.alignment") + struct.pack("<II", 4, 32)
    out += _gguf_text("tokens") + struct.pack("<IIQ", 9, 8, 2) + _gguf_text("<s>") + _gguf_text("hé")
    position = 0
    for name, kind, shape, data in tensors:
        out += _gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, position)
        position += len(data) + -len(data) % 32
    out += bytes(-len(out) % 32)
    path.write_bytes(out + b"".join(data + bytes(-len(data) % 32) for *_, data in tensors))


def write_numpy_files(folder: Path) -> None:
    """Every version of .npy; .npz stored and deflated; Fortran order, 0-d, empty and structured arrays."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(96, 130)).astype("f4")
    for version in ((1, 0), (2, 0), (3, 0)):
        with (folder / f"version{version[0]}.npy").open("wb") as file:
            np.lib.format.write_array(file, weights, version=version)
    np.save(folder / "fortran.npy", np.asfortranarray(weights))
    np.save(folder / "scalar.npy", np.float64(3.25))
    np.save(folder / "empty.npy", np.zeros((0, 7), "i2"))
    np.save(folder / "fields.npy", np.zeros(5, dtype=[("a", "<f4"), ("b", "<i8")]))
    np.save(folder / "big_endian.npy", weights.astype(">f4"))
    np.savez(folder / "stored.npz", weights=weights, steps=np.arange(1000), flag=np.bool_(True))
    np.savez_compressed(folder / "deflated.npz", weights=np.round(weights, 1), steps=np.arange(1000))


def write_torch_zip(path: Path, seed: int = 4) -> None:
    """The shape of `torch.save`: a stored zip with padding; the pickle names one float storage."""
    pickle = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuM\x00\x04tQ"
        b"K\x00K K \x86K K\x01\x86\x89ccollections\nOrderedDict\n)RtR."
    )
    data = np.random.default_rng(seed).normal(size=1024).astype("<f4").tobytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("data.pkl", pickle), ("byteorder", b"little"), ("data/0", data), ("version", b"3\n")):
            archive.writestr(f"{path.stem}/{name}", content)


def write_odd_tree(folder: Path) -> None:
    """Names, links and modes that a checkpoint folder may hold, and that careless tools stumble over."""
    top = os.fsencode(folder)
    names = [
        "é-composed".encode(), "é-decomposed".encode(), b"new\nline", b"-rf", b"trailing space ", b" leading",
        b"\xff\xfe invalid utf-8", b"n" * 255, b"*?[glob]", b"quote'\"", b"back\\slash", b"~tilde", b".hidden", b"$(x)",
    ]  # fmt: skip
    for number, name in enumerate(names):
        path = os.path.join(top, name)
        with open(path, "wb") as file:
            file.write(name * (number % 4))
        os.chmod(path, (0o644, 0o600, 0o1755, 0o444)[number % 4])
    for name in (b"empty folder", b"deep", b"deep/er", b"deep/er/\xc3\x28", b"locked"):
        os.mkdir(os.path.join(top, name))
    (folder / "deep" / "er" / "file").write_bytes(b"x")
    (folder / "locked" / "inside").write_bytes(b"y" * 10)
    for name, target in {
        b"dangling": b"nowhere/at/all",
        b"untidy": b"./deep//er/",
        b"outside": b"/etc/hostname",
        b"to a folder": b"deep",
        b"itself": b"itself",
        b"odd target": b"\xff\n ",
    }.items():
        os.symlink(target, os.path.join(top, name))
    os.chmod(folder / "locked", 0o500)
    os.chmod(folder / "empty folder", 0o1777)
    for number, (path, _, _) in enumerate(os.walk(top, topdown=False)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number))
    os.utime(folder / "-rf", ns=(0, -1_000_000_001))  # before 1970
    os.utime(os.path.join(top, b"dangling"), ns=(0, 1_234_567_890_987_654_321), follow_symlinks=False)


def _gguf_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
