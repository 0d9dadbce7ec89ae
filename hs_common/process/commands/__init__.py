"""The commands of `viaduct`, one file each; imported by the table in command_line.py when they are used."""
