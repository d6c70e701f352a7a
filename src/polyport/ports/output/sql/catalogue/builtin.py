"""A"""
class BuiltInCatalogue:
    note="x"
    def close(self): pass
