"""The configuration: frozen dataclasses whose fields carry their own facts, and the command line made from them. Imports
recipes and what is above; neither torch nor timm, so that help and refusals come at once.

An option is one declaration in ``config``; everything else about it is derived in ``facts``.
"""

from botzoo.options.config import TrainConfig as TrainConfig  # so that its options are known to who asks ``facts``
