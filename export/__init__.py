"""HOW signatures become a hosted model: build, publish, verify, and the command `peakserve`."""
