"""Patterns that people write into a configuration: judged before a stranger's text meets them."""
