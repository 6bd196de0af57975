"""What the operating system does for us: files, locks, child processes, storage addresses."""
