"""A study's results as a table, as regions and figures, and judged by another criterion."""
