"""The HTTP face: hooks, health, metrics. Flask stays in this room."""
