"""Programs with their memory: steps over a data set, predictions, and how many threads they get."""
