"""Configuration files: models, loading with every mistake reported, the capacity forecast, their reference."""
