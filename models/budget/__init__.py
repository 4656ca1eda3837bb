"""The budget of false pages: how rare an episode is on a healthy series, and how rare it must be to page."""
