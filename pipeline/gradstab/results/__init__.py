"""A study's results as a table, as a region, and judged by another criterion."""
