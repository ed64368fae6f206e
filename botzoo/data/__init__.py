"""From a found data set to batches: splits, decoding, transforms, order and loading. Imports ``botzoo.sources``, models (how a
network wants its input), options and what is above; nothing here knows what is predicted or how it is trained."""
