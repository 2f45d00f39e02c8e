"""Reading, validating and describing the data of a site."""
