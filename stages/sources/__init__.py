"""Where products come from: one module per source, each with `read(data, folder…)`."""
