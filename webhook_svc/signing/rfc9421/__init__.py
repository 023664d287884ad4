"""HTTP Message Signatures (RFC 9421) with digests of the body (RFC 9530)."""
