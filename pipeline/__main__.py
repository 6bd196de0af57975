"""`python -m pipeline` is the command `gradstab`."""

from pipeline.cli import main

main()
