"""Measurements beside a yardstick, in one run; nothing here is a test, so pytest collects none of it."""
