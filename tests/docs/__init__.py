"""Pages of the documentation as a reader types them: their blocks, run in order in a fresh copy of the checkout."""
