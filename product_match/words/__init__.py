"""Exact words: from text to terms, from terms to the sparse vector `words`, and from typed words to what is carried.

`analysis` makes terms, `fields` says which fields of a product count, `encoding` makes vectors, `vocabulary` knows
which words the catalogue has, `spelling` repairs one wrong letter, and `queries` puts a query together. Looks at
the contract.
"""
