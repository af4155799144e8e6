"""How every command meets a person and a runner; trainer and serving use it too."""
