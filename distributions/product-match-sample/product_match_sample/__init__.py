"""The encoder and the sample catalogue that `product-match demo` and `serve` take by themselves: files, no code.

`encoder/` and `sample_data/` are links to the project's own folders; a wheel holds the files.
"""
