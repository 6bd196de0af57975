"""A zoo of small models as people write them, each with a truth that an independent slow twin computes."""
