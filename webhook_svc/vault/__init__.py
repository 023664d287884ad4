"""Where document bytes are held, named by their SHA-256."""
