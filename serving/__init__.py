"""A trained model at work: one Predictor, used from Python, the command line and over HTTP."""
