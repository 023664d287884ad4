"""Senders described instead of programmed: the words of a description, and the flows and answers it becomes."""
