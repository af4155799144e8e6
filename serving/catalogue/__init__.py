"""The catalogue as an export reads it: its records, and the table of attributes."""
