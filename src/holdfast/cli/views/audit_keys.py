"""Lines of `audit rotate-key`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.audit import AuditKeyRotated
from holdfast.cli.views.layout import fact_lines

__all__ = ["rotated_lines"]


def rotated_lines(record: AuditKeyRotated, page: Page) -> Iterator[str]:
    before = record.earlier_keys[-1]
    facts = [
        ("log", record.origin),
        ("new key", record.keys[0]),
        ("", f"and an ML-DSA-44 key ({record.keys[1].split('+')[1]}; --json shows it)"),
        ("old key", f"{before.keys[0].split('+')[1]}, counts up to {count(record.size, 'entry')}"),
        ("handed over", "by the old key, in the log itself" if record.handed_over else "NO: by the keeper alone"),
        ("cosigned by", ", ".join(record.cosigned)),
        ("key file", record.key_file),
        ("old key file", record.retired_file or ""),
    ]
    yield from fact_lines(facts, page.width)
