"""Putting the parts together: one run of a study from start to end."""
