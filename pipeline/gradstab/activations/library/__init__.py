"""The activations of gradstab, one file each; the name of the file is the name of the activation in a study."""
