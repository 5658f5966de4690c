"""Office documents, books and mails as text. Each module reads one format; the others are what they share."""
