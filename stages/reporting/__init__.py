"""What people read of the results: images for Git and for the notebook."""
