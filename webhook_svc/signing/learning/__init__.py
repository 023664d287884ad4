"""How a sender signs, found out from one captured callback and its secret."""
