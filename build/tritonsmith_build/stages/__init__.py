"""The stages of a build, each a function from values and files to a folder of files."""
