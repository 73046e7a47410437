"""Changing the encoder of a catalogue that is served: embed everything anew, switch, keep the old for a rollback."""
