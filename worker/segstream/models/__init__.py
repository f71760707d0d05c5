"""Learning: the only room that imports River. Serving does not come here: see `segstream.core.clusters`."""
