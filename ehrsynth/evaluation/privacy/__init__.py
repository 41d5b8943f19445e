"""Privacy: what could someone learn about the patients whose data was used?

One attack a file, its scenario on top. Every attack is run on patients whose data was used (train)
and on patients whose data was not (holdout): only the difference is a risk of the release. The best
reference is a release of fresh patients (one half of holdout, attacked together with the other),
the worst is train itself. A new attack is a module with ``COMPUTE``, named in :mod:`.attacks`, and
its rows in ``metrics.csv``.
"""
