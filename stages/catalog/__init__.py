"""The catalogue: where products come from, how texts are cleaned, how products are split."""
