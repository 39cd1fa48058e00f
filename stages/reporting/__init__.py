"""What people read of the results: words, images for Git and for the notebook, and a page."""
