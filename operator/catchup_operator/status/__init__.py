"""What a UserSchedule's status says: conditions, sections per kind of job, results of Jobs, Events. No I/O."""
