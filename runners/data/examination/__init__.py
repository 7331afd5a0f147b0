"""What there is to know of data before a search: `attentune data`, and classes that mirror."""
