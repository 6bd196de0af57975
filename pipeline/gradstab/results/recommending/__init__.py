"""What to set, from the trials of a study: the largest safe value of an axis, a clip threshold, and what is lacking."""
