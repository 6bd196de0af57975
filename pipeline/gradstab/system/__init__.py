"""What the operating system does for us: files, locks, child processes, and the addresses of databases and servers."""
