"""Tests that run the command itself, as a person does."""
