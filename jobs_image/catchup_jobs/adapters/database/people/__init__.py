"""Users, contacts, addresses, and what belongs to them."""
