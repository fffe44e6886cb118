"""From what is known about each app to the bytes that a scrape is answered with."""
