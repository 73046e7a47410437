"""Production's entry point: looks after the `tritonserver` of a container, and says whether it lives and is ready.

`python -m product_match.container`. `entry` reads the command line, `triton_command` makes Triton's, `engines` checks
what it will load, `stores` watches what it needs, and `watch` keeps it all up with the supervision of `host`.
"""
