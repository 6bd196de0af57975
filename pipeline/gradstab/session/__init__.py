"""One run of a study from start to end: the parts put together."""
