"""What all commands share: flags, messages, progress, runners; trainer and serving use it too."""
