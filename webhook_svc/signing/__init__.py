"""How a callback proves that it is genuine: the declarative verifier, and one file for each scheme that needs more."""
