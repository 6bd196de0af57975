"""What is measured along a training: every statistic with its name, unit, definition and, for layers, its reading."""
