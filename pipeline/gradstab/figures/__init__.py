"""Every figure: what is drawn is computed from a study and its estimator, and drawn in the units of its axes."""
