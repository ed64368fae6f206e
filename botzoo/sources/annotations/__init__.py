"""Labels that stand in a table, apart from the images: its cells, the files that they name, and what is said of each of them.

A table's text is foreign. It never becomes a path: it is looked up among the files that were found in the data set's folder.
Imports what ``botzoo.sources`` knows of files and data sets; those of its sources that read tables import it.
"""
