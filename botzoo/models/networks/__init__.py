"""The networks of the paper: function name = model name in ``timm.create_model``."""
