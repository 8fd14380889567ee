"""Talk to one service each: Airflow's API, Flower, process-compose, PostgreSQL.

They ask and answer, print nothing and decide nothing.
Imports settings and below.
"""
