"""What a run's folder says of boxes and masks: words for card and terminal, and the answers as tables and as pictures.

Imports the rest of ``results`` but for what chooses among the tasks, and what is above.
"""
