"""From a video, pictures or maps to points in a file, over a running server and without TensorFlow.

The way of the data: `sources` (frames) -> `batches` -> `running` (requests in flight, in order)
-> `replies` (points) -> `outputs` and `overlay` (files). Importing this package is cheap.
"""
