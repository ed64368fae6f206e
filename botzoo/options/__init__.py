"""The configuration: frozen dataclasses whose fields carry their own facts, and the command line made from them. Imports
recipes and what is above; neither torch nor timm, so that help and refusals come at once."""
