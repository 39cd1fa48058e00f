"""Where encoders' weights come from, and the record that goes with them."""
