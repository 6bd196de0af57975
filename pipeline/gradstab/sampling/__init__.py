"""Where to look next: candidates, acquisition and the model behind the boundary sampler."""
