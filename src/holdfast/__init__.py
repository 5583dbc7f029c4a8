"""Holdfast: disaster recovery for AI training and inference, across clouds.

```python
import holdfast

vault = holdfast.open("s3://bucket/prefix")      # or holdfast.create(...)
vault.save("llama", tensors, step=500)           # a mapping of arrays, a file or a folder
state = vault.load("llama@validated")            # name → array, read when touched
vault.restore("llama@step=500", "/ckpt/restore") # files, byte for byte
```

Errors are `holdfast.HoldfastError` and its children. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.errors import HoldfastError
from holdfast.version import VERSION as __version__

if TYPE_CHECKING:
    from holdfast.control.api import create, open
    from holdfast.vault.vault import Vault

__all__ = ["open", "create", "Vault", "HoldfastError", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("open", "create"):
        from holdfast.control import api

        return getattr(api, name)
    if name == "Vault":
        from holdfast.vault.vault import Vault

        return Vault
    raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
