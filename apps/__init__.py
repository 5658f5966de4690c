"""The front end. In a wheel this folder is mmgen/apps; see hatch_build.py."""
