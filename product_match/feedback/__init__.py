"""Feedback: answers carry a signed token, and the model `feedback` takes it back with what a person thought.

`keys` reads and makes signing keys, `tokens` signs and checks, `service` records. Looks at `events` for where it is
kept; knows nothing of how answers come about.
"""
