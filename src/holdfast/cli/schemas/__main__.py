"""Write the schema files: `python -m holdfast.cli.schemas FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast.cli.schemas import schema_files


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
