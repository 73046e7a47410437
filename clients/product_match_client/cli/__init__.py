"""The `product-match` command: one module for each command, and what they share.

Looks at the library and at `loading`.
"""
