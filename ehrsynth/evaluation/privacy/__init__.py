"""Privacy: what could someone learn about the patients whose data was used?

One attack a file, its scenario on top, run on patients whose data was used (train) and on others
(holdout): only the difference is a risk. The best reference releases fresh patients (one half of
holdout, attacked together with the other), the worst train itself. A new attack is a module with
``COMPUTE``, named in :mod:`.attacks`, and its rows in ``metrics.csv``.
"""
