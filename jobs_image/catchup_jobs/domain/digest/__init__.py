"""What a digest says, by which channels, and when."""
