"""From a provider's steps to parts in the vault: stream, cap, hash, check."""
