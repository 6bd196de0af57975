"""`gradstab.watch`: the statistics of a trial, read along the user's own training loop."""
