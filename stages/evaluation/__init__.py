"""Metrics, intervals, comparisons, and the data behind the plots."""
