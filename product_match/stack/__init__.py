"""The local stack: Triton, the document store and their supervision on one machine, without containers.

`local` starts and stops it, `supervision` keeps it up, `state` is its directory. Looks at `host`, `triton`,
`encoder_change`.
"""
