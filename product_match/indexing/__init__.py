"""Takes products in: checks them, writes them to the catalogue, and answers with receipts.

What is written is up to `documents`; when it can be found, to `index`. Looks at both, and at Triton's batches.
"""
