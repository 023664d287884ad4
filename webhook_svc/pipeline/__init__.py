"""The verbs: judge a callback, run a stage, settle it, sweep."""
