"""How numbers and verdicts look wherever a person sees them: rounding, names, colours, marks."""
