"""Online anomaly detectors of one series, and banks of many."""
