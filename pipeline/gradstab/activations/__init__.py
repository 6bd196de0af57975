"""Activations: one file each in library/, and those that users and installed packages bring."""
