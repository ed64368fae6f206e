"""Images from wherever they are to batches: sources, splits, decoding, transforms, order and loading. Imports models (how a
network wants its input), options and what is above; nothing here knows what is predicted or how it is trained."""
