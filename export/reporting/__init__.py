"""Reports of what commands found: as JSON for programs, as one HTML page for people.

`verification` is a verification as plain data; `pictured` chooses, while the server still
answers, the cases whose points are drawn. `verification_page` and `doctor_page` make of plain data
what a template shows, `plots` draws, and `page` puts them together into one file without anything
to load. `files` writes either form by the file's ending.
"""
