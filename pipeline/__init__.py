"""gradstab: maps the region of hyperparameters where gradients neither vanish nor explode."""
