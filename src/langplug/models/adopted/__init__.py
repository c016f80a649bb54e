"""`ChatAdopted`: somebody else's chat model, chain or graph."""
