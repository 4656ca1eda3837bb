"""People's hands on the brain: what it has done, why, and their word for it to go on, to stop or to undo."""
