"""How well a catalogue is matched: a fixed split, rankings, and the figures over them.

Pure: it gets lists of ids and labels, and asks no server. Looks at the contract only.
"""
