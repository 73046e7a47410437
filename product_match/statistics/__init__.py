"""What is known of a catalogue as a whole: its vocabulary, and what a similarity means in it.

`keeping` counts and fits in the background, keeps the result in the document store, and adds what is new meanwhile.
Looks at `documents` and `words`.
"""
