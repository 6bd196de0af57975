"""`python -m gradstab` is the command `gradstab`."""

from gradstab.cli import main

main()
