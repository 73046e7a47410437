"""What is derived from the documents: the vector index, and what keeps it in step.

Three words say how, and what else is named is a part of one of them:

* apply: pending documents become points (`applier`, `points`). What a verification finds wrong is applied again
  (`reapply`), whatever its document says of being pending.
* verify: documents and points are compared (`verification`; `background_verification` after a start that cannot
  trust the index; `server_comparison`). With `repair`, what is wrong is applied again.
* rebuild: a fresh index is filled with all documents (`derivation`, by the process that `edge_builder` starts),
  brought up to date and put in the place of the old one (`edge_replacement`, `server_replacement`). `rebuilding`
  does one at a time, `rebuild_schedule` says when one is due.

`owner` says who does so, and `owner_socket` lets the other processes ask. Looks at `documents` and `vectors`, never
at Triton.
"""
