"""The embedded host: a server of TensorFlow Serving's wire API for laptops and CI.

Run it with `python -m serving_config.embedded`; the flags are the stock server's. It is one
Python process with TensorFlow in it, and not a substitute for the stock server in a fleet.

What it answers is what the stock server answers, byte for byte but for the order of JSON members.
It differs on purpose in these points:

- SIGTERM and SIGINT let requests in flight end (up to `host.DRAIN_SECONDS`) and the process exits
  with 0; health checks say NOT_SERVING meanwhile. The stock server dies at once. A second signal
  ends this host at once too.
- It never batches: an empty batch is answered, and requests cannot fail one another. The flags of
  batching are accepted and named in the log, as are the others in `options.WITHOUT_EFFECT`.
- A load that waits for its next attempt does not hold up other versions and models, and ends as
  soon as nobody wants the version any more.
- A reload that waits for a model gives up when the client's deadline passes; the models stay
  configured, and the next reload is not held up by it.
- A TLS configuration that cannot be read or used ends it with a sentence (the stock server aborts),
  also `client_verify` without `custom_ca`.
- Text that is not UTF-8 (in a warm-up record, say) is replaced in messages; the stock server sends
  replies that clients cannot parse.
- A tensor of unknown rank that lists sizes all the same is refused.
- The initialiser is listed in the metadata, but is no signature that Predict knows.
- `--host` names the interface (the stock server listens on all of them), `--port=0` turns gRPC
  off, and the waiting times of flags may be fractions of seconds.
- More gRPC calls than `--grpc_max_threads` are refused with RESOURCE_EXHAUSTED in gRPC's own words,
  and all of the threads answer (the stock server keeps one for itself).
"""
