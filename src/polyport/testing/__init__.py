"""Conformance suites that ship: a third party's store, engine or port inherits one and so proves itself. Needs pytest.

* `polyport.testing.store.StoreTests`: what every `polyport.store.Store` does
"""
