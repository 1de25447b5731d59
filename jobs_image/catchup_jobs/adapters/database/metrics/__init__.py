"""The numbers of an installation as a whole, for its metrics: a few bounded queries."""
