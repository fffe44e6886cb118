"""One module for each dashboard, or for a part of one that can be read by itself."""
