"""What SCIENCE demands of measured trials: theory as oracle."""
