"""Gaussian-process regression of responses over the search space."""
