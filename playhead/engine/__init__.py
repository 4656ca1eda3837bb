"""The engine room: where the broker and Redis come from, and how they are started and stopped."""
