"""What a snapshot looks like beside its parent: the checks that are made while it is saved."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from holdfast.vault.format.records import Entry, Finding, TensorRecord, Validation

__all__ = ["Policy", "CHECKS", "NORM_JUMP", "examine_file", "examine_presence", "judge_findings"]

CHECKS = (
    "non-finite",
    "shape",
    "dtype",
    "missing-tensor",
    "missing-file",
    "empty-file",
    "empty-snapshot",
    "truncated",
    "norm-jump",
    "outside-link",
)
NORM_JUMP = 20.0  # a norm that grew or shrank by this factor since the parent
# Moments of an optimizer follow the gradients, which change by orders of magnitude in a healthy run (seen: × 800 for
# AdamW's second moment within 20 steps). Only what no training does is a finding there.
OPTIMIZER_NORM_JUMP = 1e5
_OPTIMIZER_STATE = re.compile(r"optim|exp_avg|momentum|adam", re.IGNORECASE)
_SMALL = 64  # elements; norms of tiny tensors jump for good reasons
_FINDINGS_MAX = 200
_HOLDS_TENSORS = re.compile(r"\.(safetensors|pt|pth|bin|ckpt|npy|npz|gguf|distcp)$", re.IGNORECASE)


class Policy(Enum):
    """What a finding leads to. All of them record it in the snapshot.

    WARN: committed, `latest` moves, `validated` does not. REFUSE: nothing is committed. QUARANTINE: committed, but
    neither pointer moves, and no reference but its id resolves to it.
    """

    WARN = "warn"
    REFUSE = "refuse"
    QUARANTINE = "quarantine"


def examine_file(
    entry: Entry, problems: list[str], parent: Entry | None, norm_jump: float = NORM_JUMP
) -> list[Finding]:
    """Findings about one file, compared with the same file of the parent snapshot."""
    path = os.fsdecode(entry.path)
    shown = _shown(entry.path)
    findings = [Finding("truncated", shown, problem) for problem in problems]
    if entry.size == 0 and _HOLDS_TENSORS.search(path):
        findings.append(Finding("empty-file", shown, "the file is empty, though its name promises tensors"))
    before = {tensor.name: tensor for tensor in parent.tensors} if parent is not None else {}
    for tensor in entry.tensors:
        findings.extend(_examine_tensor(shown, tensor, before.pop(tensor.name, None), norm_jump))
    if entry.tensors:
        findings.extend(
            Finding("missing-tensor", f"{shown}: {name}", "the parent snapshot has this tensor") for name in before
        )
    return findings


def examine_presence(entries: Collection[Entry], parent: Mapping[bytes, Entry]) -> list[Finding]:
    """Findings about what is not there, given the files of the snapshot and of its parent by path."""
    size, before = sum(entry.size for entry in entries), sum(entry.size for entry in parent.values())
    if not entries:
        return [Finding("empty-snapshot", "", "there is no file in what was saved")]
    if not size and before:
        return [Finding("empty-snapshot", "", f"all files are empty; the parent snapshot has {before} bytes")]
    present = {entry.path for entry in entries}
    return [
        Finding("missing-file", _shown(path), f"the parent snapshot has this file, of {known.size} bytes")
        for path, known in parent.items()
        if path not in present and known.size
    ]


def judge_findings(policy: Policy, findings: list[Finding], checks: Sequence[str] = CHECKS) -> Validation:
    """The validation record: good without findings, else what the policy makes of them. `checks`: all that ran."""
    kept = findings[:_FINDINGS_MAX]
    if len(findings) > len(kept):
        kept.append(Finding("more", "", f"{len(findings) - len(kept)} further findings"))
    verdict = "good" if not findings else "quarantined" if policy is Policy.QUARANTINE else "warned"
    return Validation(policy.value, verdict, list(checks), kept)


def _shown(path: bytes) -> str:
    return os.fsdecode(path).encode("utf-8", "replace").decode()


def _examine_tensor(path: str, tensor: TensorRecord, before: TensorRecord | None, norm_jump: float) -> list[Finding]:
    where = f"{path}: {tensor.name}"
    findings = []
    if tensor.nonfinite:
        findings.append(Finding("non-finite", where, f"{tensor.nonfinite} values are NaN or infinite"))
    if before is None:
        return findings
    if tensor.shape != before.shape:
        findings.append(Finding("shape", where, f"the shape was {before.shape}, and is {tensor.shape}"))
    if tensor.dtype != before.dtype:
        findings.append(Finding("dtype", where, f"the dtype was {before.dtype}, and is {tensor.dtype}"))
    elif tensor.norm and before.norm and math.prod(tensor.shape) >= _SMALL:
        ratio = tensor.norm / before.norm
        limit = max(norm_jump, OPTIMIZER_NORM_JUMP) if _OPTIMIZER_STATE.search(where) else norm_jump
        if not 1 / limit <= ratio <= limit:
            findings.append(Finding("norm-jump", where, f"the norm went from {before.norm:.4g} to {tensor.norm:.4g}"))
    return findings
