"""One callback and one secret, tried in many ways: what explaining and learning share."""
