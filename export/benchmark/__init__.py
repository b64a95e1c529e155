"""What the served functions cost beside other ways to the same result, on this machine."""

from __future__ import annotations

# The command line offers these names before TensorFlow is imported; `in_graph` measures them.
WORKS = (
    "refine_peaks_local_direction",
    "find_global_peaks",
    "find_local_peaks",
    "smooth_imgs",
    "refine_peaks_gaussian",
    "keypoints",
)

# Those that need a server, or are about what travels to it; `served` measures them.
SERVED_WORKS = ("grpc", "rest", "predict", "batching", "bytes", "json")
CLIENTS = (1, 4, 16)
