"""What every run has in common: locks, attempts, the retry budget, its end."""
