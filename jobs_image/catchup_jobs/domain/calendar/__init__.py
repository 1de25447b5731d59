"""Events, free time, and how a calendar is read."""
