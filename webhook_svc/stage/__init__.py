"""What the demonstration and the proof stand on: programs of our own, in processes of their own."""
