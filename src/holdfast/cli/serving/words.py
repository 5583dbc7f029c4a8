"""Words that arguments of verbs consist of: bounded, one line each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

__all__ = ["AssetName", "Line", "Reference", "RunId", "Word"]

Word = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,1000}$")]
AssetName = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,400}$")]
Reference = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,400}$", description="asset, asset@ref")]
RunId = Annotated[str, Meta(pattern=r"^[0-9a-f]{20}$", description="20 hex digits")]
