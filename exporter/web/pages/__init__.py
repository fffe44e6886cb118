"""Pages for people, made on the server: they load a style sheet and a small script of ours, and need neither.

`routes.py` has the paths, `rendering.py` makes HTML of templates, and one module for each page says what stands on
it: pure functions from what the `View` shows to what its template is given.
"""
