"""Hostile study files and settings by the hundred thousand: `make fuzz N=200000`."""
