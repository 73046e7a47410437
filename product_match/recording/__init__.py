"""Joins answers with what becomes of them: gives each its feedback token.

Looks at `retrieval` for what an answer is, and at `events` and `feedback`; none of them looks here.
"""
