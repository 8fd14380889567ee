"""Says what an Airflow project's folder holds, before anything is installed.

It reads files within bounds, executes nothing of the project and writes nothing.
Imports settings and below.
"""
