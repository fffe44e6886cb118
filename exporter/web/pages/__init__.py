"""HTML pages, a module for each; they load one style sheet and one script, and work without either."""
