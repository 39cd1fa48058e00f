"""What a change does to the results: a report for those who review it."""
