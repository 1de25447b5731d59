"""What each job does, step by step."""
