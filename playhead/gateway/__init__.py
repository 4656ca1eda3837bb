"""The door for players, browsers and other tools: HTTP in front of the topics."""
