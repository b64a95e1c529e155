"""Adapters: what pose frameworks write, as networks that `peakserve export --backbone` takes."""
