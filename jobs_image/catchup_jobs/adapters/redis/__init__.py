"""Redis: locks and attempts, quotas, progress."""
