"""Exit codes of the command line, beside those that errors carry (errors.py)."""

from __future__ import annotations

EXIT_FAILED, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_STORAGE, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
