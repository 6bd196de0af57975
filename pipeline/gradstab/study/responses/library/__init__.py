"""The responses: each file holds one as RESPONSE, with the functions that read it from a training."""
