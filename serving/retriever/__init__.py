"""The client's parts. Nothing here imports TensorFlow, numpy or the rest of the project: grpcio is all it needs."""
