"""webhook_svc: what stands behind the URL that an e-signature provider calls when a document is complete."""

__version__ = "0.1.0"
