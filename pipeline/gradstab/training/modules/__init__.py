"""Packs of a user's own modules: built, tapped and trained by plain autograd."""
