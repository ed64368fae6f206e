"""Networks for boxes and masks at work on new images: asking them, and what their answers become as files.

Imports the folder above; what they answer is the task's to say.
"""
