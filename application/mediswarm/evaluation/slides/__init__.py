"""What a site makes of a trained `stamp` model and its own slides: predictions, statistics, heatmaps."""
