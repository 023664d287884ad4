"""What several sinks share, and what would make one of them too long."""
