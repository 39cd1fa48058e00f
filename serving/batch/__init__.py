"""Prediction for a whole table from the command line: it streams, and resumes where it stopped."""
