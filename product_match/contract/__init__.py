"""The one declaration of names, shapes, options, limits and errors.

`models` and `tensors` are what clients and Triton see, `options` the request parameters, `products` and `filters`
what a shop sends, `errors` the one tree. What changes here changes the wire, and `ensemble-builder contract --write`
writes what follows from it. Imports the standard library and numpy only, and looks at nobody.
"""
