"""The demo: recorded incidents through the whole loop, on a real broker, in under two minutes."""
