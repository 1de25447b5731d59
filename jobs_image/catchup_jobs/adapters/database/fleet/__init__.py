"""What an installation looks like as a whole: a few bounded queries, for metrics."""
