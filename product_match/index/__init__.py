"""What is derived from the documents: the vector index, and what keeps it in step.

`applier` applies pending documents, `verification` compares, `rebuilding` replaces the whole; `owner` says who does
so, and `owner_socket` lets the other processes ask. Looks at `documents` and `vectors`, never at Triton.
"""
