"""What a run's folder says of boxes and masks: words for card and terminal, and the answers as tables and as pictures.

``pictures`` keeps some of them at the end of a run. Imports the rest of ``results`` and what is above.
"""
