"""Which tools take part in which cases. A quick run leaves out the slower settings of a tool."""

from __future__ import annotations

from ..runners.backup_tools import Borg, Restic
from ..runners.base import Runner
from ..runners.holdfast_runners import HoldfastCommand, HoldfastLibrary
from ..runners.libraries import DistributedCheckpoint, TorchSave, ZipNN
from ..runners.plain_tools import Copy, Rclone, Zstd
from .context import Context

__all__ = ["for_speed", "for_ratios", "for_trees", "for_disk"]


def for_speed(context: Context) -> list[Runner]:
    """Large files of tensors."""
    setting = context.setting
    runners: list[Runner] = [
        HoldfastCommand(setting),
        HoldfastLibrary(setting),
        HoldfastLibrary(setting, read_back=True),
        Restic(setting),
        Borg(setting, "lz4"),
        Zstd(setting, 1),
        Rclone(setting),
        Copy(setting),
        ZipNN(setting),
    ]
    if context.quick:
        return runners
    slower = [
        TorchSave(setting),
        HoldfastCommand(setting, read_back=True),
        Restic(setting, "off"),
        Borg(setting, "zstd,1"),
    ]
    return [*runners, *slower, Borg(setting, "none"), Zstd(setting, 3), DistributedCheckpoint(setting)]


def for_ratios(context: Context) -> list[Runner]:
    """One state and a later one: what is stored."""
    setting = context.setting
    runners: list[Runner] = [HoldfastLibrary(setting), Zstd(setting, 3)]
    return runners if context.quick else [*runners, Restic(setting), Borg(setting, "zstd,1"), ZipNN(setting)]


def for_trees(context: Context) -> list[Runner]:
    """Folders of mixed content."""
    setting = context.setting
    runners: list[Runner] = [
        HoldfastCommand(setting),
        Restic(setting),
        Borg(setting, "zstd,1"),
        Zstd(setting, 3, archive=True),
        Rclone(setting),
        Copy(setting),
    ]
    return runners if context.quick else [*runners, HoldfastCommand(setting, read_back=True)]


def for_disk(context: Context) -> list[Runner]:
    """Durable saves: what a power cut after the command's end cannot take."""
    setting = context.setting
    return [HoldfastCommand(setting), Copy(setting), Zstd(setting, 1, fsync=True), Restic(setting, "off")]
