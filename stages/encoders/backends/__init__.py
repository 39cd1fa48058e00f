"""What runs an encoder's network: OpenVINO, PyTorch or TensorFlow."""
