"""Actors: what obeys commands and keeps the world as they say."""
