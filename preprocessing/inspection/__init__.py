"""Unknown log files: what their fields hold, which of our streams they are, and the config that reads them."""
