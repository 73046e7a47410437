"""What the server tells of itself: what is counted. Knows nothing of Triton, which `triton.metrics` gives it to.

Any package may count; whoever publishes decides what of it is seen. Looks at `contract` alone.
"""
