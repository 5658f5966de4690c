"""PDF files: words with their places, reading order, tables, form fields, recognition of scanned pages, page images."""
