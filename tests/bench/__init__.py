"""`make bench`: the peer, the bare loop and gradstab side by side, and where the time goes. Not collected by pytest."""
