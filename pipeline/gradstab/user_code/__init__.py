"""The user's own code: how a function is named, collected with the files that it needs, sent to workers and kept."""
