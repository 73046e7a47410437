"""Joins requests with what is kept of them: an event for each answer and failure, and a token for each answer.

Looks at `retrieval` for what an answer is, and at `events` and `feedback`; none of them looks here. `failures` needs
nothing of `retrieval`, so that models which only refuse do not load it.
"""
