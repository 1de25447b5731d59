"""When jobs run: the spec of a UserSchedule and the times that follow from it. No I/O."""
