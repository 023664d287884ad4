"""The mark of all that a simulator makes up and nobody may see: secrets, tokens, links' queries, what documents say."""

from typing import Final

MARK: Final = "5ec2e7"
"""Where it shows in an output, something leaks."""
