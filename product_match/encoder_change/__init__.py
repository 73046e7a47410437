"""Another encoder for a catalogue that is served: a second generation beside the first, then a switch.

Beyond that there are three things to know, each because something goes on meanwhile:

* Products change while they are embedded: writers note what they change, and it is brought over (`writers`). At the
  switch the new generation's writers hold what comes until the last change of the old ones is over.
* Triton may have to be started again meanwhile: whoever starts and ends its models holds a lock (`models`).
* Any process may be killed: `state.json` says what is served (`generations`), `reindex.json` what was asked for and
  how it stands (`requests`). The old generation stays for a rollback.

Two sides ask something here. The processes that write ask a `WriteGate`: may I write, and note that this changes.
The local stack asks what to run (`starting_generation`, `assemble_models`) and lets `EncoderChanges` look after the
process that performs a change (`worker`, which uses `embedding`, `transfer` and `model_control`).

Looks at `documents`, `index`, `vectors`, `repository`, `host` and `triton`; never at `catalogue` or `stack`.
"""
