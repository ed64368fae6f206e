"""What is looked at: HTML pages that are one file each, charts as SVG, and boxes and masks on pictures.

A page of another room extends ``pages/base.html`` and is written by ``botzoo.pages.render``. A page needs no network, no
other file and no JavaScript; it may have a script of ours that makes it handier. This room imports from ``botzoo.util`` only.
"""
