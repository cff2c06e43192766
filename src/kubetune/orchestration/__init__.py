"""A run on a cluster: the pods of its stages, and the Airflow DAGs that execute them."""
