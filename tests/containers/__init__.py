"""The compose stack brought up for real, a study run through it, broken while it runs, and audited exactly."""
