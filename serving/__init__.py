"""Export, serving and batch use of trained towers."""
