"""Running packs on slots; the only room that imports ray."""
