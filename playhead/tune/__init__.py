"""Settings of the detectors from what was recorded: what would have fired, and what suits a budget."""
