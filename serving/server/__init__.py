"""The model over HTTP: one process, FastAPI and uvicorn."""
