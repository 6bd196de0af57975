"""Tests of the tracking room, against real MLflow."""
