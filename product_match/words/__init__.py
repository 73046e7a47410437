"""Exact words: from text to terms, from terms to the sparse vector `words`, and from typed words to what is carried.

`analysis` makes terms, `fields` says which fields of a product count, `encoding` makes vectors, `vocabulary` knows
which words the catalogue has, `spelling` repairs one wrong letter, `relations` knows other words for a thing,
`lookup` says what of all that one word is looked up by, and `reading` puts a query together (`queries`). `evidence`
says what of it a product has. Looks at the contract.
"""
