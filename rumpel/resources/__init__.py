"""Shell programs that run inside pods; data files, no Python."""
