"""What the sinks that send mail share: the letter, its bytes, and the conversations that carry it."""
