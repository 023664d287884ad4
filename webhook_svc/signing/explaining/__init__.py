"""Why a callback verifies, or does not, in words for a person."""
