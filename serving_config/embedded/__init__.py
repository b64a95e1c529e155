"""The embedded host: a server of TensorFlow Serving's wire API for laptops and CI.

Run it with `python -m serving_config.embedded`; the flags are the stock server's. It is one
Python process with TensorFlow in it, and not a substitute for the stock server in a fleet.
"""
