"""Statistics, criteria and theory of gradient stability; numpy and scipy only."""
