"""Ray clusters of several raylets on one machine."""
