"""How well pipelines do their tasks: questions with known answers, figures and reports."""
