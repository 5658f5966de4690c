"""Mails as text, with what they carry."""
