"""The role `client`: all endpoints of the client-server API but /sync. One file per file of the specification's API;
what several of them share, and what takes more than parse, call, answer, lies in the packages below.
"""
