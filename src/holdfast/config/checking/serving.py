"""What holds for servers: an asset for their own databases that nothing else is saved as."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.values import nearest

__all__ = ["check_serving"]

_HOUR_S = 3600.0


def check_serving(subject: Subject) -> Iterator[Said]:
    """The asset of `serve: {backup: …}`."""
    name = subject.config.serve.backup
    if not name:
        return
    known = subject.named("assets")
    if name not in known:
        yield Said(("serve", "backup"), f"there is no asset `{name[:60]}`{nearest(name, known)}")
        return
    asset = subject.config.assets.get(name)
    if asset is not None and (asset.path or asset.watch):
        yield Said(("serve", "backup"), f"`{name[:60]}` has a `path` or `watch`: a server's databases are saved alone")
    if any(one.saved_as == name for one in subject.config.groups.values()):
        yield Said(("serve", "backup"), f"a group is saved as `{name[:60]}`: a server's databases are saved alone")
    owed = subject.owed.get(name)
    rpo = owed.rpo.value if owed is not None else None
    if owed is not None and rpo is not None and owed.save_every.value is None and rpo < _HOUR_S:
        yield Said(
            ("serve", "backup"),
            f"`{name[:60]}` may lose less than the hour between two backups: give it a `save_every`, or a longer `rpo`",
        )
