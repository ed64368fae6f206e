"""One run: set up, trained, evaluated and written down; ``run`` is the page to read first. Imports tasks and what is above."""
