"""Encoders of images and texts: one module for each kind, and what they share."""
