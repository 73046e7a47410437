"""The one declaration of names, shapes, options, limits and errors. Imports the standard library and numpy only."""
