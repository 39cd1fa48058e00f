"""The sources of products: demo, Best Buy, a table of the user's."""
