"""What signs requests of our own: to stores, and for tokens."""
