"""Training of packs of networks; the only room that imports torch."""
