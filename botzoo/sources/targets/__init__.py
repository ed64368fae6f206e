"""Data sets whose images have boxes or masks: COCO, Pascal VOC, YOLO, pairs of images and masks, and tables of these.

``find`` looks at what lies in a folder and picks the reader; ``checks`` says what is wrong with what was read. All of the
files are foreign: text never becomes a path, and images are those that were found in the data set's folder. Imports what
``botzoo.sources`` knows of files, folders and tables.
"""
