"""Another encoder for a catalogue that is served: a second generation beside the first, then a switch.

`generations` says what is served, `requests` how a change is asked for and stands, `handover` what writers do for
it, `worker` performs it in a process of its own, and `succession` looks after that process for the stack. The old
generation is kept for a rollback.
"""
