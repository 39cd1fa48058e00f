"""What a model takes along that leaves the pipeline: its weights, its card and its neighbours."""
