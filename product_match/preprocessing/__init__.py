"""From a photo's bytes to pixels, and from words to token ids: the same path for queries and for the catalogue."""
