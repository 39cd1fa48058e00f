"""The catalogue: where products come from, how text is cleaned, how products are split."""
