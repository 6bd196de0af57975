"""Claims of mean-field theory checked against measured trials."""
