"""Benchmarks: Playhead beside its alternatives, in one run, as ratios."""
