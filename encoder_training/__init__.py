"""Trains dual encoders for product photos and words from pretrained towers; never imported to serve."""
