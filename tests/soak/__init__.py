"""A study under a seeded schedule of faults, and an exact audit."""
