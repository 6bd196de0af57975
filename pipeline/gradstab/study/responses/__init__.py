"""Responses: the signed numbers that a training is judged by, one file each in library/."""
