"""From a photo's bytes to pixels, and from words to token ids: the same path for queries and for the catalogue.

What changes here changes what encoders see: the builder compares it with the checkpoint's own processors. Looks at
the contract only.
"""
