"""How numbers and verdicts look wherever the user sees them: rounding, names, colours, marks."""
