"""What is wrong with a machine and its settings, before anything starts: `product-match doctor`.

`checks` look at one thing each, `report` puts them together. Without `rich`, as the container has none, it is
`python -m product_match.preflight`.
"""
