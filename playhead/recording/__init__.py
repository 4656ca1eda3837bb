"""Recordings: what stood in several topics, kept in a folder, and played again at any speed."""
