"""The truth: products and photos in MongoDB.

`store` reads, `writing`, `updating` and `removal` change; each change is one conditional write of one document, and
leaves it `pending` until the index has taken it. Looks at the contract and the settings only, never at an index or
at Triton.
"""
