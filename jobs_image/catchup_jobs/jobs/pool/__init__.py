"""A tick of a pool: who is due, one run for each, and what is due next."""
