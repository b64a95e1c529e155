"""Commands of `peakserve` that have a module of their own. Importing them is cheap."""
