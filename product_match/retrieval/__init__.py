"""From a row of a request to ranked products.

`rows` reads what is asked, `searches` says what the index is asked and gathers what it finds of each product,
`fusion` makes one score of that, `confidence` says how sure a match is, and `answers` writes it down; `service`
does so for a whole batch, with one search and one question to the documents. Looks at the engines' interface,
`index`, `words` and `statistics`.
"""
