"""The laboratory: simulated fleets of viewers, on which the brain is tried before it is trusted."""
