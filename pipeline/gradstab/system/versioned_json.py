"""JSON files that say by which version of their format they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradstab.errors import StorageError


def read_versioned(path: Path, schema_version: int) -> dict[str, Any] | None:
    """What a file of this schema version holds; None where there is no file.

    Raises:
        StorageError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise StorageError(f"{path} must hold JSON as gradstab writes it, but: {error}") from None
    if not isinstance(content, dict):
        raise StorageError(f"{path} must hold JSON as gradstab writes it, but holds a {type(content).__name__}")
    if content.get("schema_version") != schema_version:
        raise StorageError(
            f"{path} must have schema version {schema_version}, got {content.get('schema_version')}: "
            "another version of gradstab wrote it; use that version, or update gradstab"
        )
    return content
