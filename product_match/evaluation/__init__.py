"""How well a catalogue is matched: a fixed split, rankings, and the figures over them."""
