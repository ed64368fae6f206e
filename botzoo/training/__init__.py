"""The machine that trains, from scratch and for transfer alike; ``run.py`` is the page to read first."""
