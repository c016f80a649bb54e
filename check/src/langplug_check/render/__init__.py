"""A report in words, Markdown, HTML and JUnit XML."""
