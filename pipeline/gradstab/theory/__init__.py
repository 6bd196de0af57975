"""Mean-field theory of wide networks: critical scales, depth scales, forecasts."""
