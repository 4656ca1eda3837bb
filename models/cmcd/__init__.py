"""Common Media Client Data: reading what players send, and making playback sessions of it."""
