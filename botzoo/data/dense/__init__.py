"""Pictures with boxes or masks made into inputs of one size: what a picture does, its boxes and its mask do too.

A picture of w x h pixels fits an input of W x H by the factor f = min(W / w, H / h). Evaluation resizes it by f and lays
it into the upper left corner; the rest has the mean colour. Training resizes it by f s, with s log-uniform in a range, and
lays it anywhere: along a side that is longer than the input's then a part is seen, along a shorter one all of it.
"""
