"""Says what an Airflow project's folder holds, and makes the environment that its packages need.

The survey reads files within bounds; it executes nothing of the project and writes nothing.
Imports settings and below.
"""
