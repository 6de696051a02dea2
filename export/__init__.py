"""From towers to ONNX, with parity measured."""
